// Dropout against ref and its documented counters, on any device.
#pragma once

#include <limits>
#include <vector>

#include "kernels/philox.h"
#include "tests/kernels/subject.h"
#include "tests/mapped.h"

namespace rook::test {

// Which of the elements are kept, seen from the outside: dropout of ones.
inline std::vector<double> mask_of(const Subject& subject, Dropout args, int n, int h, int w, int c) {
  TestTensor x = TestTensor(DType::f32, n, h, w, c).fill(1), y(DType::f32, n, h, w, c);
  args.x = x;
  args.y = y;
  subject.dropout(args);
  return y.to_doubles();
}

// The same mask as ref to the element, in all modes.
inline void test_dropout(const Subject& subject) {
  Random random(41);
  std::uint32_t layer = 0;
  for (const NhwcCase& k : subject.shapes) {
    CAPTURE(k.name);
    ++layer;
    for (const DType dtype : subject.types) {
      CAPTURE(name_of(dtype));
      for (Grad mode : {Grad::none, Grad::overwrite, Grad::accumulate}) {
        TestTensor x = TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after).fill_uniform(random, 0.5, 2);
        TestTensor y(dtype, k.n, k.h, k.w, k.c, k.out.before, k.out.after);
        if (mode != Grad::overwrite) y.fill_uniform(random, 0.5, 2);
        const TestTensor x64 = x.converted(DType::f64);
        TestTensor expected = y.converted(DType::f64);
        Dropout args{.x = x, .y = y, .probability = 0.3f, .seed = 77, .iteration = 5, .layer = layer, .mode = mode};
        subject.dropout(args);
        args.x = x64;
        args.y = expected;
        ref::dropout(args);
        check_close("y", y, expected, mode == Grad::none ? Tolerance{} : tolerance_of(dtype));
      }
    }
  }
}

// The counter is laid out as documented.
inline void test_dropout_counter(const Subject& subject) {
  const Dropout args{.x = {}, .y = {}, .probability = 0.5f, .seed = 0x123456789abcdef0u, .iteration = 17, .layer = 9};
  const std::vector<double> mask = mask_of(subject, args, 1, 3, 5, 7);
  for (std::uint32_t e = 0; e < 105; ++e) {
    const PhiloxBlock block = philox({0x9abcdef0u, 0x12345678u}, {e / 4, 0, 17, (2u << 24) + 9});
    const std::uint32_t words[] = {block.x, block.y, block.z, block.w};
    const double expected = words[e % 4] >= 0x80000000u ? 2 : 0;  // uniform >= 1/2
    CHECK(mask[e] == expected);
  }
}

// The iteration may lie in the device's memory; no two parts of it share a mask.
inline void test_dropout_step(const Subject& subject) {
  Mapped<StepState> step(1);
  step[0].iteration = 6;
  const Dropout args{.x = {}, .y = {}, .probability = 0.5f, .seed = 3, .iteration = 1, .step = step.data(), .parts = 4};
  const Dropout same{.x = {}, .y = {}, .probability = 0.5f, .seed = 3, .iteration = 25};
  CHECK(mask_of(subject, args, 1, 5, 7, 16) == mask_of(subject, same, 1, 5, 7, 16));
}

// In place, and backward is forward applied to the gradient.
inline void test_dropout_in_place(const Subject& subject) {
  Random random(42);
  for (const DType dtype : subject.types) {
    TestTensor x = TestTensor(dtype, 2, 5, 7, 11, 3, 1).fill_uniform(random, 0.5, 2), y(dtype, 2, 5, 7, 11, 3, 1);
    TestTensor dy = TestTensor(dtype, 2, 5, 7, 11).fill_uniform(random, 0.5, 2), dx(dtype, 2, 5, 7, 11, 0, 5);
    Dropout args{.x = x, .y = y, .probability = 0.4f, .seed = 5, .iteration = 6, .layer = 7};
    subject.dropout(args);
    args.x = dy;
    args.y = dx;
    subject.dropout(args);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < x.elements(); ++i) wrong += (y.get(i) == 0) != (dx.get(i) == 0);
    CHECK(wrong == 0);
    args.x = x;
    args.y = x;
    subject.dropout(args);
    CHECK(same_bits(x, y));
    CHECK(x.guards_intact());
  }
}

// Dropped elements are 0 even where the input is not finite.
inline void test_dropout_nan(const Subject& subject) {
  TestTensor x = TestTensor(DType::f32, 1, 4, 4, 33).fill(std::numeric_limits<double>::quiet_NaN()),
             y(DType::f32, 1, 4, 4, 33);
  subject.dropout({.x = x, .y = y, .probability = 0.5f});
  std::int64_t zeros = 0, nans = 0;
  for (double value : y.to_doubles()) {
    zeros += value == 0;
    nans += std::isnan(value);
  }
  CHECK(zeros > 0);
  CHECK(nans > 0);
  CHECK(zeros + nans == y.elements());
}

}  // namespace rook::test
