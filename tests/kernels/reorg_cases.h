// Reorg against ref, on any device.
#pragma once

#include <string>

#include "tests/kernels/subject.h"

namespace rook::test {

struct ReorgCase {
  const char* name;
  int n, h, w, c, stride;  // the wide side
  bool legacy;
  Slice in, out;
};

inline constexpr ReorgCase kReorgCases[] = {
    {"stride 1", 1, 3, 5, 7, 1, true, {}, {}},
    {"legacy 4x4x8", 1, 4, 4, 8, 2, true, {}, {}},
    {"legacy, not square", 2, 6, 10, 12, 2, true, {1, 0}, {0, 3}},
    {"legacy, stride 3", 2, 9, 3, 18, 3, true, {2, 1}, {}},
    {"legacy, yolov2", 1, 26, 26, 64, 2, true, {}, {0, 1024}},
    {"plain, prime channels", 2, 6, 10, 13, 2, false, {2, 3}, {1, 1}},
    {"plain, stride 3", 1, 9, 15, 5, 3, false, {}, {}},
    {"plain, one channel", 1, 8, 4, 1, 4, false, {}, {3, 0}},
    {"plain, vectors in slices", 1, 12, 8, 16, 2, false, {8, 0}, {0, 8}},
    {"plain, several blocks", 2, 26, 34, 48, 2, false, {}, {}},
};

inline TestTensor wide_of(const ReorgCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after);
}

inline TestTensor deep_of(const ReorgCase& k, DType dtype) {
  const int s = k.stride;
  return TestTensor(dtype, k.n, k.h / s, k.w / s, k.c * s * s, k.out.before, k.out.after);
}

// Both maps, in both directions and all modes: a permutation, so to the bit.
inline void test_reorg(const Subject& subject) {
  Random random(31);
  for (const ReorgCase& k : kReorgCases) {
    CAPTURE(std::string(k.name));
    for (const DType dtype : subject.types) {
      CAPTURE(std::string(name_of(dtype)));
      for (const bool reverse : {false, true}) {
        TestTensor x = reverse ? deep_of(k, dtype) : wide_of(k, dtype);
        TestTensor y = reverse ? wide_of(k, dtype) : deep_of(k, dtype);
        x.fill_uniform(random);
        const TestTensor x64 = doubles(x);
        TestTensor y64 = doubles(y);
        Reorg args{.x = x, .y = y, .stride = k.stride, .legacy = k.legacy, .reverse = reverse};
        Reorg exact = args;
        exact.x = x64;
        exact.y = y64;
        for (const Grad mode : kWritingModes) {
          args.mode = exact.mode = mode;
          check_operation(
              subject, "y", {&y}, {&y64}, mode, random, mode == Grad::overwrite ? Tolerance{} : tolerance_of(dtype),
              [&] { subject.reorg(args); }, [&] { ref::reorg(exact); });
        }
        const TestTensor before = y;
        args.mode = Grad::none;
        subject.reorg(args);
        CHECK(same_bits(before, y));
      }
    }
  }
}

}  // namespace rook::test
