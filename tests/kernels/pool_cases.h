// Pools against ref, on any device.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/subject.h"

namespace rook::test {

inline TestTensor input_of(const PoolingCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after);
}

inline TestTensor output_of(const PoolingCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.geometry.out_h(k.h), k.geometry.out_w(k.w), k.c, k.out.before, k.out.after);
}

// Sums of several terms, which may cancel.
inline Tolerance tolerance_of_sums(DType dtype) {
  Tolerance tolerance = tolerance_of(dtype);
  tolerance.absolute = std::max(tolerance.absolute, 1e-5);
  return tolerance;
}

// Whether a case is no larger than the largest of the subject's shapes.
inline bool fits(const Subject& subject, std::int64_t elements) {
  return std::any_of(subject.shapes.begin(), subject.shapes.end(),
                     [&](const NhwcCase& s) { return elements <= std::int64_t{s.n} * s.h * s.w * s.c; });
}

// Calls visit(case, dtype, random) for the cases that fit.
template <class Visit>
void for_all_pools(const Subject& subject, Visit visit) {
  Random random(11);
  for (const PoolingCase& k : kPoolingCases) {
    if (!fits(subject, std::int64_t{k.n} * k.h * k.w * k.c)) continue;
    CAPTURE(std::string(k.name));
    for (const DType dtype : subject.types) {
      CAPTURE(std::string(name_of(dtype)));
      visit(k, dtype, random);
    }
  }
}

// Values, chosen taps and gradients; the same values without taps.
inline void test_maxpool(const Subject& subject) {
  for_all_pools(subject, [&](const PoolingCase& k, DType dtype, Random& random) {
    TestTensor x = input_of(k, dtype).fill_uniform(random), y = output_of(k, dtype), y64 = output_of(k, DType::f64);
    const TestTensor x64 = doubles(x);
    TestArray<std::uint16_t> taps(y.elements()), expected(y.elements());
    check_operation(
        subject, "y", {&y}, {&y64}, Grad::overwrite, random, {},  // a maximum is one of the inputs: exact
        [&] {
          taps.fill(0xdead);
          subject.maxpool_forward({.geometry = k.geometry, .x = x, .y = y, .taps = taps.data()});
        },
        [&] { ref::maxpool_forward({.geometry = k.geometry, .x = x64, .y = y64, .taps = expected.data()}); });
    check_close("taps", taps, expected, {});
    TestTensor inference = output_of(k, dtype);
    subject.maxpool_forward({.geometry = k.geometry, .x = x, .y = inference});
    CHECK(same_bits(y, inference));
    CHECK(inference.guards_intact());
    CHECK(x.guards_intact());

    TestTensor dy = output_of(k, dtype).fill_uniform(random), dx = input_of(k, dtype), dx64 = input_of(k, DType::f64);
    const TestTensor dy64 = doubles(dy);
    MaxPoolBackward args{.geometry = k.geometry, .dy = dy, .dx = dx, .taps = taps.data()};
    MaxPoolBackward exact{.geometry = k.geometry, .dy = dy64, .dx = dx64, .taps = expected.data()};
    for (const Grad mode : kWritingModes) {
      args.mode = exact.mode = mode;
      check_operation(
          subject, "dx", {&dx}, {&dx64}, mode, random, tolerance_of_sums(dtype),
          [&] { subject.maxpool_backward(args); }, [&] { ref::maxpool_backward(exact); });
    }
    const TestTensor before = dx;
    args.mode = Grad::none;
    subject.maxpool_backward(args);
    CHECK(same_bits(before, dx));
  });
}

// The first of equals wins, and the first NaN, which stays.
inline void test_maxpool_ties(const Subject& subject) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double values[] = {0, -0.0, 1, 1, -1, inf, -inf, -inf, nan};
  Random random(5);
  for (const PoolGeometry& geometry : {PoolGeometry{3, 3, 2, 2, 2}, PoolGeometry{5, 5, 1, 1, 4}}) {
    for (const int channels : {21, 24}) {
      for (const DType dtype : subject.types) {
        TestTensor x(dtype, 2, 9, 11, channels);
        for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, values[random.below(9)]);
        const int p = geometry.out_h(9), q = geometry.out_w(11);
        TestTensor y(dtype, 2, p, q, channels), y64(DType::f64, 2, p, q, channels);
        TestArray<std::uint16_t> taps(y.elements()), expected(y.elements());
        subject.maxpool_forward({.geometry = geometry, .x = x, .y = y, .taps = taps.data()});
        ref::maxpool_forward({.geometry = geometry, .x = doubles(x), .y = y64, .taps = expected.data()});
        check_close("taps", taps, expected, {});
        std::int64_t nans = 0, wrong = 0;
        for (std::int64_t i = 0; i < y.elements(); ++i) {
          const bool same_number = y.get(i) == y64.get(i) && std::signbit(y.get(i)) == std::signbit(y64.get(i));
          wrong += !(same_number || (std::isnan(y.get(i)) && std::isnan(y64.get(i))));
          nans += std::isnan(y.get(i));
        }
        CHECK(wrong == 0);
        CHECK((nans > 0 && nans < y.elements()));
      }
    }
  }
}

inline void test_local_avgpool(const Subject& subject) {
  for_all_pools(subject, [&](const PoolingCase& k, DType dtype, Random& random) {
    TestTensor x = input_of(k, dtype).fill_uniform(random), y = output_of(k, dtype), y64 = output_of(k, DType::f64);
    const TestTensor x64 = doubles(x);
    check_operation(
        subject, "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_of_sums(dtype),
        [&] { subject.local_avgpool_forward({.geometry = k.geometry, .x = x, .y = y}); },
        [&] { ref::local_avgpool_forward({.geometry = k.geometry, .x = x64, .y = y64}); });
    TestTensor dy = output_of(k, dtype).fill_uniform(random), dx = input_of(k, dtype), dx64 = input_of(k, DType::f64);
    const TestTensor dy64 = doubles(dy);
    LocalAvgPoolBackward args{.geometry = k.geometry, .dy = dy, .dx = dx};
    LocalAvgPoolBackward exact{.geometry = k.geometry, .dy = dy64, .dx = dx64};
    for (const Grad mode : kWritingModes) {
      args.mode = exact.mode = mode;
      check_operation(
          subject, "dx", {&dx}, {&dx64}, mode, random, tolerance_of_sums(dtype),
          [&] { subject.local_avgpool_backward(args); }, [&] { ref::local_avgpool_backward(exact); });
    }
    const TestTensor before = dx;
    args.mode = Grad::none;
    subject.local_avgpool_backward(args);
    CHECK(same_bits(before, dx));
  });
}

inline void test_avgpool(const Subject& subject) {
  Random random(12);
  for (const NhwcCase& s : subject.shapes) {
    CAPTURE(std::string(s.name));
    for (const DType dtype : subject.types) {
      TestTensor x = random_tensor(s, dtype, s.in, random), y(dtype, s.n, 1, 1, s.c, s.out.before, s.out.after);
      TestTensor y64 = doubles(y);
      const TestTensor x64 = doubles(x);
      check_operation(
          subject, "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_of_sums(dtype),
          [&] { subject.avgpool_forward({.x = x, .y = y}); }, [&] { ref::avgpool_forward({.x = x64, .y = y64}); });
      TestTensor dy(dtype, s.n, 1, 1, s.c, s.out.before, s.out.after), dx = x, dx64 = x64;
      dy.fill_normal(random);
      const TestTensor dy64 = doubles(dy);
      for (const Grad mode : kWritingModes) {
        check_operation(
            subject, "dx", {&dx}, {&dx64}, mode, random, tolerance_of_sums(dtype),
            [&] { subject.avgpool_backward({.dy = dy, .dx = dx, .mode = mode}); },
            [&] { ref::avgpool_backward({.dy = dy64, .dx = dx64, .mode = mode}); });
      }
      const TestTensor before = dx;
      subject.avgpool_backward({.dy = dy, .dx = dx, .mode = Grad::none});
      CHECK(same_bits(before, dx));
    }
  }
}

}  // namespace rook::test
