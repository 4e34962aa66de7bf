// What a test of an operation runs on, so that the CPU and the CUDA kernels are given the very same cases.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "tests/cases.h"
#include "tests/sanitized.h"
#include "tests/support.h"

namespace rook::test {

// One device: its operations, which are done when they return; what it stores activations in; and the circumstances
// that must not matter to the bit.
struct Subject {
#define ROOK_SUBJECT_OP(op, Args) std::function<void(const Args&)> op;
  ROOK_OP_LIST(ROOK_SUBJECT_OP)
#undef ROOK_SUBJECT_OP
#define ROOK_SUBJECT_WORKSPACE(op, Args) std::function<std::size_t(const Args&)> op##_workspace;
  ROOK_WORKSPACE_LIST(ROOK_SUBJECT_WORKSPACE)
#undef ROOK_SUBJECT_WORKSPACE
  std::vector<DType> types;
  std::vector<NhwcCase> shapes;
  // Calls body under each of them: numbers of threads of the CPU, orders of threads of a GPU.
  std::function<void(const std::function<void()>& body)> for_each_way;
  // ThreadSanitizer watches: cases that take the same way between the barriers as another need not run.
  bool watched = false;
};

// Cases that differ in numbers, not in what threads say to each other: where ThreadSanitizer watches, the first `few`.
template <class Case>
std::vector<Case> chosen(const Subject& subject, std::vector<Case> cases, std::size_t few = 2) {
  if (subject.watched && cases.size() > few) cases.erase(cases.begin() + static_cast<std::ptrdiff_t>(few), cases.end());
  return cases;
}

inline Subject cpu_subject() {
  Subject subject;
#define ROOK_SUBJECT_OP(op, Args) subject.op = [](const Args& args) { cpu::op(args); };
  ROOK_OP_LIST(ROOK_SUBJECT_OP)
#undef ROOK_SUBJECT_OP
#define ROOK_SUBJECT_WORKSPACE(op, Args) subject.op##_workspace = cpu::op##_workspace;
  ROOK_WORKSPACE_LIST(ROOK_SUBJECT_WORKSPACE)
#undef ROOK_SUBJECT_WORKSPACE
  subject.types.assign(std::begin(kStorageTypes), std::end(kStorageTypes));
  // The large ones go no way past an edge that the odd ones do not.
  std::copy_if(std::begin(kNhwcCases), std::end(kNhwcCases), std::back_inserter(subject.shapes),
               [](const NhwcCase& shape) { return !kSanitized || !shape.bench; });
  subject.for_each_way = [](const std::function<void()>& body) {
    for (const int threads : {1, 2}) {
      const ThreadScope scope(threads);
      body();
    }
  };
  return subject;
}

// Scratch of an operation: poisoned, and guarded.
class TestWorkspace {
 public:
  explicit TestWorkspace(std::size_t bytes, Poison poison = Poison::nan)
      : storage_(static_cast<std::int64_t>((bytes + sizeof(float) - 1) / sizeof(float))) {
    storage_.fill(poison == Poison::nan ? std::numeric_limits<float>::quiet_NaN() : 1e30f);
  }
  void* data() { return storage_.size() > 0 ? storage_.data() : nullptr; }
  bool guards_intact() const { return storage_.guards_intact(); }

 private:
  TestArray<float> storage_;
};

inline TestTensor random_tensor(const NhwcCase& s, DType dtype, Slice slice, Random& random) {
  TestTensor t(dtype, s.n, s.h, s.w, s.c, slice.before, slice.after);
  t.fill_normal(random);
  return t;
}

inline TestTensor doubles(const TestTensor& t) {
  return t.converted(DType::f64);
}

inline constexpr Grad kWritingModes[] = {Grad::overwrite, Grad::accumulate};

// Runs an operation of `subject` under all circumstances and with different poison, and the reference once in f64, and
// compares: the first run within tolerance, the others to the bit. `outputs` are the tensors that it writes; when it
// accumulates they hold values before.
inline void check_operation(const Subject& subject, const std::string& what, std::vector<TestTensor*> outputs,
                            std::vector<TestTensor*> references, Grad mode, Random& random, Tolerance tolerance,
                            const std::function<void()>& run, const std::function<void()>& run_reference) {
  std::vector<TestTensor> before, first;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (mode == Grad::accumulate)
      outputs[i]->fill_normal(random);
    else
      outputs[i]->poison(Poison::nan);
    references[i]->copy_from(*outputs[i]);
    before.push_back(*outputs[i]);
  }
  run_reference();
  subject.for_each_way([&] {
    const bool is_first = first.empty();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (mode == Grad::accumulate)
        outputs[i]->copy_from(before[i]);
      else
        outputs[i]->poison(is_first ? Poison::nan : Poison::huge);
    }
    run();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (is_first) {
        check_close(what, *outputs[i], *references[i], tolerance);
        first.push_back(*outputs[i]);
      } else {
        CHECK_MESSAGE(same_bits(first[i], *outputs[i]), what);
      }
    }
  });
}

}  // namespace rook::test
