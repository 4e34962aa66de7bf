// What the tests of the kernels share: comparison that NaN fails, of tensors with guards, and finite differences.
// Header-only.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "kernels/types.h"
#include "tests/guarded.h"
#include "tests/random.h"

namespace rook::test {

// |actual - expected| <= absolute + relative |expected|.
struct Tolerance {
  double absolute = 0, relative = 0;
};

// What one operation with one rounding to storage may deviate: a few units in the last place.
inline Tolerance tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {1e-5, 1.0 / 128};
    case DType::f16:  // absolute: a unit in the last place of subnormal numbers
      return {1e-5, 1.0 / 1024};
    case DType::f64:
      return {1e-12, 1e-12};
    default:
      return {1e-6, 2e-6};
  }
}

// |actual - expected| <= tolerance, or the test has failed: NaN fails.
inline void check_near(double actual, double expected, double tolerance, const char* what) {
  if (!(std::abs(actual - expected) <= tolerance)) {
    FAIL_CHECK(std::string(what), ": ", actual, " instead of ", expected);
  }
}

struct Closeness {
  bool ok = true;
  std::string message;  // the worst element, and how many were out of tolerance
};

// Compares element by element; `actual(i)`, `expected(i)` for i in [0, count), `name(i)` says which one it is.
template <class Actual, class Expected, class Name>
Closeness compare_elements(std::int64_t count, Actual actual, Expected expected, Name name, Tolerance tolerance) {
  std::int64_t worst = -1, bad = 0;
  double worst_ratio = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    const double a = actual(i), b = expected(i);
    const double allowed = tolerance.absolute + tolerance.relative * std::abs(b);
    if (a == b || std::abs(a - b) <= allowed) continue;  // a == b: equal infinities; NaN passes neither
    ++bad;
    const double difference = std::abs(a - b);
    const double ratio = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference / allowed;
    if (ratio > worst_ratio) {
      worst_ratio = ratio;
      worst = i;
    }
  }
  if (bad == 0) return {};
  return {false, fmt::format("{} of {} elements differ; worst at {}: {} instead of {}, {:.3g} times the tolerance", bad,
                             count, name(worst), actual(worst), expected(worst), worst_ratio)};
}

inline Closeness compare(const TestTensor& actual, const TestTensor& expected, Tolerance tolerance) {
  const Tensor &a = actual, &b = expected;
  if (a.n != b.n || a.h != b.h || a.w != b.w || a.c != b.c) return {false, "shapes differ"};
  return compare_elements(
      actual.elements(), [&](std::int64_t i) { return actual.get(i); }, [&](std::int64_t i) { return expected.get(i); },
      [&](std::int64_t i) {
        const std::int64_t pixel = i / a.c;
        return fmt::format("[n {}, h {}, w {}, c {}]", pixel / a.w / a.h, pixel / a.w % a.h, pixel % a.w, i % a.c);
      },
      tolerance);
}

template <class T, class U>
Closeness compare(const TestArray<T>& actual, const TestArray<U>& expected, Tolerance tolerance) {
  if (actual.size() != expected.size()) return {false, "sizes differ"};
  return compare_elements(
      actual.size(), [&](std::int64_t i) { return static_cast<double>(actual[i]); },
      [&](std::int64_t i) { return static_cast<double>(expected[i]); },
      [](std::int64_t i) { return fmt::format("[{}]", i); }, tolerance);
}

// Values within tolerance, guards of both untouched.
template <class Owner, class OtherOwner>
void check_close(const std::string& what, const Owner& actual, const OtherOwner& expected, Tolerance tolerance) {
  const Closeness result = compare(actual, expected, tolerance);
  CHECK_MESSAGE(result.ok, what, ": ", result.message);
  CHECK_MESSAGE(actual.guards_intact(), what, ": written outside of the tensor");
  CHECK_MESSAGE(expected.guards_intact(), what, ": the reference wrote outside of the tensor");
}

// Bit for bit the same elements (a NaN with the same bits included).
inline bool same_bits(const TestTensor& a, const TestTensor& b) {
  if (a.dtype() != b.dtype() || a.elements() != b.elements()) return false;
  const std::size_t row = static_cast<std::size_t>(a.view().c) * size_of(a.dtype());
  for (std::int64_t pixel = 0; pixel < a.view().pixels(); ++pixel) {
    const auto* left = a.view().as<std::byte>() + static_cast<std::size_t>(pixel * a.view().pitch) * size_of(a.dtype());
    const auto* right =
        b.view().as<std::byte>() + static_cast<std::size_t>(pixel * b.view().pitch) * size_of(b.dtype());
    if (std::memcmp(left, right, row) != 0) return false;
  }
  return true;
}

template <class T>
bool same_bits(const TestArray<T>& a, const TestArray<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

// Sets the number of OpenMP threads for a scope.
class ThreadScope {
 public:
  explicit ThreadScope(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~ThreadScope() { omp_set_num_threads(before_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
};

// sum(weight * y): a scalar loss whose gradient with respect to y is `weight`.
inline double weighted_sum(const TestTensor& y, const TestTensor& weight) {
  double sum = 0;
  for (std::int64_t i = 0; i < y.elements(); ++i) sum += y.get(i) * weight.get(i);
  return sum;
}

// Compares `gradient` with central differences of `loss()` as elements of `x` (f64 or f32 owner) are moved by +-step;
// at most `samples` elements, drawn from `random` when there are more.
template <class Owner, class Gradient, class Loss>
void check_gradient(const std::string& what, Owner& x, const Gradient& gradient, std::int64_t count, Loss loss,
                    Random& random, double step = 1e-5, Tolerance tolerance = {1e-6, 1e-6}, std::int64_t samples = 60) {
  for (std::int64_t k = 0; k < std::min(count, samples); ++k) {
    const std::int64_t i = count <= samples ? k : random.below(count);
    const auto at = [&](double value) {
      if constexpr (std::is_same_v<Owner, TestTensor>) {
        x.set(i, value);
      } else {
        x[i] = static_cast<std::remove_cvref_t<decltype(x[i])>>(value);
      }
    };
    const auto read = [&](const auto& owner) -> double {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(owner)>, TestTensor>) {
        return owner.get(i);
      } else {
        return static_cast<double>(owner[i]);
      }
    };
    const double value = read(x);
    at(value + step);
    const double high = read(x), loss_high = loss();
    at(value - step);
    const double low = read(x), loss_low = loss();
    at(value);
    const double expected = (loss_high - loss_low) / (high - low), actual = read(gradient);
    const bool ok = std::abs(actual - expected) <= tolerance.absolute + tolerance.relative * std::abs(expected);
    CHECK_MESSAGE(ok, what, "[", i, "]: gradient ", actual, ", finite difference ", expected);
  }
}

}  // namespace rook::test
