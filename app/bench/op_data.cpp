#include "app/bench/op_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>

#include "kernels/bfloat16.h"
#include "kernels/float16.h"
#include "kernels/philox.h"

namespace rook::app {
namespace {

constexpr std::size_t kBlock = 65537;  // numbers that are drawn; longer arrays repeat them, out of step with any row

// Kept, since all copies of a case's data begin with the same.
const std::vector<float>& uniform_block(std::uint32_t array, float low, float high) {
  static thread_local std::map<std::tuple<std::uint32_t, float, float>, std::vector<float>> drawn_before;
  std::vector<float>& values = drawn_before[{array, low, high}];
  if (!values.empty()) return values;
  values.resize(kBlock);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const PhiloxBlock drawn = philox(philox_key(7), {.slot = static_cast<std::uint32_t>(i), .iteration = array});
    values[i] = low + (high - low) * philox_uniform(drawn.x);
  }
  return values;
}

// Uniform in [-1.7, 1.7): about variance 1.
std::vector<std::byte> activation_block(std::uint32_t array, DType type) {
  const std::vector<float>& values = uniform_block(array, -1.7f, 1.7f);
  std::vector<std::byte> block(kBlock * size_of(type));
  for (std::size_t i = 0; i < kBlock; ++i) {
    std::byte* const to = block.data() + i * size_of(type);
    if (type == DType::f32) {
      std::memcpy(to, &values[i], sizeof(float));
    } else {
      const std::uint16_t half = type == DType::bf16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
      std::memcpy(to, &half, sizeof half);
    }
  }
  return block;
}

double element(const std::byte* data, DType type, std::int64_t i) {
  std::uint16_t half = 0;
  float single = 0;
  if (type == DType::f32) {
    std::memcpy(&single, data + i * 4, 4);
    return single;
  }
  std::memcpy(&half, data + i * 2, 2);
  return type == DType::bf16 ? bf16_to_float(half) : f16_to_float(half);
}

}  // namespace

void* OpData::scratch(std::size_t bytes) {
  const DeviceRuntime& runtime = *backend_->runtime;
  memory_.emplace_back(runtime.allocate(std::max<std::size_t>(bytes, 1)), Release{runtime.release});
  return memory_.back().get();
}

void* OpData::copied(const void* values, std::size_t bytes) {
  void* const to = scratch(bytes);
  backend_->runtime->copy(to, values, bytes, stream_);
  backend_->runtime->synchronize(stream_);  // the values may be gone afterwards
  return to;
}

Tensor OpData::tensor(const Shape& s, bool read, bool written) {
  const std::int64_t pitch = std::int64_t{s.slice.before} + s.c + s.slice.after;
  Tensor t{.dtype = s.type, .device = backend_->device, .n = batch_, .h = s.h, .w = s.w, .c = s.c, .pitch = pitch};
  const std::size_t bytes = static_cast<std::size_t>(t.pixels() * pitch) * size_of(s.type);
  std::byte* const base = static_cast<std::byte*>(scratch(bytes));
  t.data = base + static_cast<std::size_t>(s.slice.before) * size_of(s.type);
  const double traffic = static_cast<double>(t.elements()) * static_cast<double>(size_of(s.type));
  bytes_ += traffic * (read + written);
  if (read) {
    const std::vector<std::byte> block = activation_block(arrays_++, s.type);
    for (std::size_t at = 0; at < bytes; at += block.size())
      backend_->runtime->copy(base + at, block.data(), std::min(block.size(), bytes - at), stream_);
    backend_->runtime->synchronize(stream_);
  }
  if (written) kept_.push_back({t.data, Element::tensor, s.type, t.pixels(), s.c, pitch});
  return t;
}

float* OpData::floats(std::int64_t count, float low, float high, bool read, bool written) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  float* const data = static_cast<float*>(scratch(bytes));
  bytes_ += static_cast<double>(bytes) * (read + written);
  if (read) {
    const std::vector<float>& block = uniform_block(arrays_++, low, high);
    for (std::size_t at = 0; at < static_cast<std::size_t>(count); at += kBlock)
      backend_->runtime->copy(data + at, block.data(),
                              std::min(kBlock, static_cast<std::size_t>(count) - at) * sizeof(float), stream_);
    backend_->runtime->synchronize(stream_);
  }
  if (written) kept_.push_back({data, Element::tensor, DType::f32, 1, count, count});
  return data;
}

std::int32_t* OpData::out_ints(std::int64_t count) {
  auto* const data = static_cast<std::int32_t*>(scratch(static_cast<std::size_t>(count) * sizeof(std::int32_t)));
  bytes_ += static_cast<double>(count) * sizeof(std::int32_t);
  kept_.push_back({data, Element::i32, DType::f32, 1, count, count});
  return data;
}

std::uint16_t* OpData::out_taps(std::int64_t count) {
  auto* const data = static_cast<std::uint16_t*>(scratch(static_cast<std::size_t>(count) * sizeof(std::uint16_t)));
  bytes_ += static_cast<double>(count) * sizeof(std::uint16_t);
  kept_.push_back({data, Element::u16, DType::f32, 1, count, count});
  return data;
}

double* OpData::out_doubles(std::int64_t count) {
  auto* const data = static_cast<double*>(scratch(static_cast<std::size_t>(count) * sizeof(double)));
  kept_.push_back({data, Element::f64, DType::f64, 1, count, count});
  return data;
}

std::vector<OpData::Output> OpData::outputs() const {
  std::vector<Output> found;
  for (const Kept& kept : kept_) {
    const std::int64_t span = (kept.rows - 1) * kept.pitch + kept.columns;
    const std::size_t size = kept.element == Element::u16   ? 2
                             : kept.element == Element::i32 ? 4
                             : kept.element == Element::f64 ? 8
                                                            : size_of(kept.type);
    std::vector<std::byte> bytes(static_cast<std::size_t>(span) * size);
    backend_->runtime->copy(bytes.data(), kept.data, bytes.size(), stream_);
    backend_->runtime->synchronize(stream_);
    Output output{.what = "output " + std::to_string(found.size() + 1),
                  .values = {},
                  .exact = kept.element == Element::u16 || kept.element == Element::i32};
    output.values.reserve(static_cast<std::size_t>(kept.rows * kept.columns));
    for (std::int64_t row = 0; row < kept.rows; ++row)
      for (std::int64_t column = 0; column < kept.columns; ++column) {
        const std::int64_t i = row * kept.pitch + column;
        const std::byte* const at = bytes.data() + static_cast<std::size_t>(i) * size;
        if (kept.element == Element::tensor) {
          output.values.push_back(element(bytes.data(), kept.type, i));
        } else if (kept.element == Element::f64) {
          double value = 0;
          std::memcpy(&value, at, sizeof value);
          output.values.push_back(value);
        } else {
          std::uint32_t value = 0;
          std::memcpy(&value, at, size);
          output.values.push_back(static_cast<double>(value));
        }
      }
    found.push_back(std::move(output));
  }
  return found;
}

}  // namespace rook::app
