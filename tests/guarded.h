// Tensors and arrays that own their storage, with guards around it that show a read or a write outside. Header-only.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
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
    for_each_guard([&](std::int64_t i) { write_guard(element(i), size_of(dtype), owner_, i); });
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
    bool intact = true;
    for_each_guard([&](std::int64_t i) {
      if (!guard_intact(element(i), size_of(view_.dtype), owner_, i)) intact = false;
    });
    return intact;
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
  // Visits the elements that are not the tensor's: the margins, and the channels before and after it.
  template <class Visit>
  void for_each_guard(Visit visit) const {
    for (std::int64_t i = 0; i < kMargin; ++i) {
      visit(i);
      visit(kMargin + buffer_ + i);
    }
    for (std::int64_t pixel = kMargin; pixel < kMargin + buffer_; pixel += view_.pitch) {
      for (std::int64_t i = 0; i < before_; ++i) visit(pixel + i);
      for (std::int64_t i = before_ + view_.c; i < view_.pitch; ++i) visit(pixel + i);
    }
  }
  template <class Value>
  TestTensor& fill_with(Value value) {
    const bool bytes = view_.dtype == DType::u8;
    std::int64_t i = 0;
    for (std::int64_t pixel = 0; pixel < buffer_; pixel += view_.pitch) {
      for (std::int64_t at = pixel; at < pixel + view_.c; ++at, ++i) {
        const double v = value(i);
        store_from_double(view_.data, view_.dtype, at, !bytes || (v >= 0 && v <= 255) ? v : 0xcd);
      }
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

}  // namespace rook::test
