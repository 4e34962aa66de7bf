// Upsampling against ref, on any device.
#pragma once

#include <string>

#include "tests/kernels/subject.h"

namespace rook::test {

// Visits the subject's shapes with a stride and a scale that vary from case to case, large ones with stride 2.
template <class Visit>
void for_all_upsamples(const Subject& subject, Visit visit) {
  constexpr float kScales[] = {1, 0.3f, -2};
  int index = 0;
  for (const NhwcCase& k : subject.shapes) {
    if (k.bench && k.c > 300) continue;
    const bool large = k.n * k.h * k.w * k.c > 5000;
    const int stride = large ? 2 : 1 + index % 4;
    const float scale = kScales[index++ % 3];
    CAPTURE(std::string(k.name));
    CAPTURE(stride);
    for (const DType dtype : subject.types) {
      CAPTURE(std::string(name_of(dtype)));
      visit(k, stride, scale, dtype);
    }
  }
}

inline TestTensor small_of(const NhwcCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after);
}

inline TestTensor large_of(const NhwcCase& k, int stride, DType dtype) {
  return TestTensor(dtype, k.n, k.h * stride, k.w * stride, k.c, k.out.before, k.out.after);
}

inline void test_upsample(const Subject& subject) {
  Random random(21);
  for_all_upsamples(subject, [&](const NhwcCase& k, int stride, float scale, DType dtype) {
    TestTensor x = small_of(k, dtype).fill_uniform(random), y = large_of(k, stride, dtype);
    TestTensor y64 = large_of(k, stride, DType::f64);
    const TestTensor x64 = doubles(x);
    check_operation(
        subject, "y", {&y}, {&y64}, Grad::overwrite, random, scale == 1 ? Tolerance{} : tolerance_of(dtype),
        [&] { subject.upsample_forward({.x = x, .y = y, .stride = stride, .scale = scale}); },
        [&] { ref::upsample_forward({.x = x64, .y = y64, .stride = stride, .scale = scale}); });
    TestTensor dy = large_of(k, stride, dtype).fill_uniform(random), dx = small_of(k, dtype), dx64 = x64;
    const TestTensor dy64 = doubles(dy);
    Tolerance tolerance = tolerance_of(dtype);
    tolerance.absolute *= 10;  // up to 16 terms of size 4 that may cancel
    UpsampleBackward args{.dy = dy, .dx = dx, .stride = stride, .scale = scale};
    UpsampleBackward exact{.dy = dy64, .dx = dx64, .stride = stride, .scale = scale};
    for (const Grad mode : kWritingModes) {
      args.mode = exact.mode = mode;
      check_operation(
          subject, "dx", {&dx}, {&dx64}, mode, random, tolerance, [&] { subject.upsample_backward(args); },
          [&] { ref::upsample_backward(exact); });
    }
    const TestTensor before = dx;
    args.mode = Grad::none;
    subject.upsample_backward(args);
    CHECK(same_bits(before, dx));
  });
}

}  // namespace rook::test
