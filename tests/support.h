// What the tests of the kernels share: owning tensors with guards, seeded random numbers, comparison that NaN fails,
// and finite differences. Header-only.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/float16.h"
#include "kernels/types.h"
#include "tests/mapped.h"
#include "tests/random.h"

namespace rook::test {

inline double load_as_double(const void* data, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::u8:
      return static_cast<const std::uint8_t*>(data)[index];
    case DType::f32:
      return static_cast<const float*>(data)[index];
    case DType::f64:
      return static_cast<const double*>(data)[index];
    case DType::bf16:
      return bf16_to_float(static_cast<const std::uint16_t*>(data)[index]);
    case DType::f16:
      return f16_to_float(static_cast<const std::uint16_t*>(data)[index]);
  }
  FAIL("load_as_double: no such storage in tests");
  return 0;
}

inline void store_from_double(void* data, DType dtype, std::int64_t index, double value) {
  switch (dtype) {
    case DType::u8:
      static_cast<std::uint8_t*>(data)[index] = static_cast<std::uint8_t>(value);
      return;
    case DType::f32:
      static_cast<float*>(data)[index] = static_cast<float>(value);
      return;
    case DType::f64:
      static_cast<double*>(data)[index] = value;
      return;
    case DType::bf16:
      static_cast<std::uint16_t*>(data)[index] = float_to_bf16(static_cast<float>(value));
      return;
    case DType::f16:
      static_cast<std::uint16_t*>(data)[index] = float_to_f16(static_cast<float>(value));
      return;
  }
  FAIL("store_from_double: no such storage in tests");
}

// An element of guard: a NaN whose lowest byte depends on the owner and the place, so that both a write over it and a
// copy of somebody else's guard are seen, and a read from it spoils the result.
inline void write_guard(std::byte* element, std::size_t size, std::uint64_t owner, std::int64_t index) {
  std::memset(element, 0xff, size);
  element[0] = static_cast<std::byte>(0x81 + (owner * 31 + static_cast<std::uint64_t>(index)) % 127);
}

inline bool guard_intact(const std::byte* element, std::size_t size, std::uint64_t owner, std::int64_t index) {
  std::byte expected[8];
  write_guard(expected, size, owner, index);
  return std::memcmp(element, expected, size) == 0;
}

inline std::uint64_t next_guard_owner() {
  static std::uint64_t count = 0;
  return ++count;
}

// What an output holds before an operation writes it. Results must not depend on it.
enum class Poison { nan, huge };

// A tensor [n, h, w, c] that owns its storage: channels [before, before + c) of a buffer of before + c + after
// channels. Everything that is not the tensor's (the other channels, and 32 elements before and after) is guard.
class TestTensor {
 public:
  TestTensor(DType dtype, int n, int h, int w, int c, int before = 0, int after = 0)
      : before_(before), owner_(next_guard_owner()) {
    view_ = {.dtype = dtype, .n = n, .h = h, .w = w, .c = c, .pitch = std::int64_t{before} + c + after};
    buffer_ = view_.pixels() * view_.pitch;
    storage_.resize(static_cast<std::size_t>(buffer_ + 2 * kMargin) * size_of(dtype) + kAlignment);
    place();
    for (std::int64_t i = 0; i < buffer_ + 2 * kMargin; ++i) write_guard(element(i), size_of(dtype), owner_, i);
    poison(Poison::nan);
  }
  TestTensor(const TestTensor& other)
      : view_(other.view_), before_(other.before_), owner_(other.owner_), buffer_(other.buffer_) {
    storage_.resize(other.storage_.size());
    place();
    std::memcpy(base_, other.base_, static_cast<std::size_t>(buffer_ + 2 * kMargin) * size_of(view_.dtype));
  }
  TestTensor& operator=(const TestTensor& other) {
    if (this != &other) *this = TestTensor(other);
    return *this;
  }
  // Moving a vector keeps its storage in place, so the pointers stay good.
  TestTensor(TestTensor&&) = default;
  TestTensor& operator=(TestTensor&&) = default;

  const Tensor& view() const { return view_; }
  operator const Tensor&() const { return view_; }  // NOLINT: an argument like any other tensor
  DType dtype() const { return view_.dtype; }
  std::int64_t elements() const { return view_.elements(); }

  // Element i of the dense order (n, h, w, c).
  double get(std::int64_t i) const { return load_as_double(view_.data, view_.dtype, offset(i)); }
  void set(std::int64_t i, double value) { store_from_double(view_.data, view_.dtype, offset(i), value); }
  double get(int n, int h, int w, int c) const { return get(index(n, h, w, c)); }
  void set(int n, int h, int w, int c, double value) { set(index(n, h, w, c), value); }
  std::int64_t index(int n, int h, int w, int c) const {
    return ((std::int64_t{n} * view_.h + h) * view_.w + w) * view_.c + c;
  }

  TestTensor& poison(Poison kind) {
    return fill_with([kind](std::int64_t i) {
      return kind == Poison::nan ? std::numeric_limits<double>::quiet_NaN() : (i % 2 == 0 ? 1e30 : -3e29);
    });
  }
  TestTensor& fill(double value) {
    return fill_with([value](std::int64_t) { return value; });
  }
  TestTensor& fill_uniform(Random& random, double low = -2, double high = 2) {
    return fill_with([&](std::int64_t) { return random.uniform(low, high); });
  }
  TestTensor& fill_normal(Random& random, double mean = 0, double std = 1) {
    return fill_with([&](std::int64_t) { return mean + std * random.normal(); });
  }
  TestTensor& copy_from(const TestTensor& other) {
    return fill_with([&](std::int64_t i) { return other.get(i); });
  }

  // The same values in another storage, as wide a slice: what the reference gets has a pitch, too.
  TestTensor converted(DType dtype) const {
    TestTensor result(dtype, view_.n, view_.h, view_.w, view_.c, before_,
                      static_cast<int>(view_.pitch) - before_ - view_.c);
    return std::move(result.copy_from(*this));
  }
  std::vector<double> to_doubles() const {
    std::vector<double> values(static_cast<std::size_t>(elements()));
    for (std::int64_t i = 0; i < elements(); ++i) values[static_cast<std::size_t>(i)] = get(i);
    return values;
  }

  bool guards_intact() const {
    for (std::int64_t i = 0; i < buffer_ + 2 * kMargin; ++i) {
      if (!is_inside(i) && !guard_intact(element(i), size_of(view_.dtype), owner_, i)) return false;
    }
    return true;
  }

 private:
  static constexpr std::int64_t kMargin = 32;
  static constexpr std::size_t kAlignment = 64;

  void place() {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    base_ = storage_.data() + (kAlignment - address % kAlignment) % kAlignment;
    view_.data = base_ + static_cast<std::size_t>(kMargin + before_) * size_of(view_.dtype);
  }
  std::byte* element(std::int64_t i) const { return base_ + static_cast<std::size_t>(i) * size_of(view_.dtype); }
  std::int64_t offset(std::int64_t i) const { return i / view_.c * view_.pitch + i % view_.c; }
  bool is_inside(std::int64_t i) const {
    if (i < kMargin || i >= kMargin + buffer_) return false;
    const std::int64_t channel = (i - kMargin) % view_.pitch;
    return channel >= before_ && channel < before_ + view_.c;
  }
  template <class Value>
  TestTensor& fill_with(Value value) {
    if (view_.dtype == DType::u8) {
      for (std::int64_t i = 0; i < elements(); ++i) {
        const double v = value(i);
        set(i, v >= 0 && v <= 255 ? v : 0xcd);
      }
    } else {
      for (std::int64_t i = 0; i < elements(); ++i) set(i, value(i));
    }
    return *this;
  }

  Tensor view_;
  int before_ = 0;
  std::uint64_t owner_ = 0;
  std::int64_t buffer_ = 0;  // elements of the wider buffer
  Mapped<std::byte> storage_;
  std::byte* base_ = nullptr;  // of the first margin
};

// A tensor in a buffer of `pitch` channels, in the middle of it: where vectors of 8 can be read they can.
inline TestTensor tensor_of_pitch(DType dtype, int n, int h, int w, int c, int pitch) {
  const int more = pitch - c, before = more % 8 == 0 ? more / 16 * 8 : 1;
  return {dtype, n, h, w, c, before, more - before};
}

// A flat array with guards around it: parameters, gradients, indices, counters.
template <class T>
class TestArray {
 public:
  explicit TestArray(std::int64_t count)
      : owner_(next_guard_owner()), count_(count), storage_(static_cast<std::size_t>(count + 2 * kMargin)) {
    for (std::int64_t i = 0; i < count + 2 * kMargin; ++i) write_guard(element(i), sizeof(T), owner_, i);
    if constexpr (std::is_floating_point_v<T>) fill(std::numeric_limits<T>::quiet_NaN());
  }

  T* data() { return storage_.data() + kMargin; }
  const T* data() const { return storage_.data() + kMargin; }
  std::int64_t size() const { return count_; }
  T& operator[](std::int64_t i) { return data()[i]; }
  const T& operator[](std::int64_t i) const { return data()[i]; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(count_)}; }

  TestArray& fill(T value) {
    std::fill_n(data(), count_, value);
    return *this;
  }
  TestArray& fill_uniform(Random& random, double low = -2, double high = 2) {
    for (T& value : span()) value = static_cast<T>(random.uniform(low, high));
    return *this;
  }

  bool guards_intact() const {
    for (std::int64_t i = 0; i < count_ + 2 * kMargin; ++i) {
      if (i >= kMargin && i < kMargin + count_) continue;
      if (!guard_intact(element(i), sizeof(T), owner_, i)) return false;
    }
    return true;
  }

 private:
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  static constexpr std::int64_t kMargin = 32;

  std::byte* element(std::int64_t i) { return reinterpret_cast<std::byte*>(storage_.data() + i); }
  const std::byte* element(std::int64_t i) const { return reinterpret_cast<const std::byte*>(storage_.data() + i); }

  std::uint64_t owner_;
  std::int64_t count_;
  Mapped<T> storage_;
};

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
