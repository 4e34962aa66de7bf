// Resizing of a u8 photo to a network input or to the training cache (kernels/resize_plan.h), as separable sums with
// precomputed weights.
//
// Each output row first sums its source rows into one line of floats (contiguous, so plain vector code), then picks the
// columns from that line. Nothing is rounded before the end, so results differ from cv2's and PIL's fixed point by a
// rounding. Rows are independent: the result does not depend on the number of threads.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cpu/scalar.h"
#include "kernels/ops.h"
#include "kernels/resize_plan.h"

namespace rook::cpu {
namespace {

using Float4 [[gnu::vector_size(16)]] = float;

// Weights of one axis: output i is the sum of `taps` consecutive source elements from first[i]. Taps that reach beyond
// the source have weight 0.
struct Axis {
  int taps = 0;
  std::vector<int> first;
  std::vector<float> weights;  // [out, taps]
};

Axis linear_axis(Resampling resampling, int in, int out) {
  Axis axis{.taps = 2, .first = std::vector<int>(out), .weights = std::vector<float>(std::size_t{2} * out)};
  for (int i = 0; i < out; ++i) {
    const LinearTaps taps = linear_at(resampling, i, in, out);
    axis.first[i] = taps.first;
    axis.weights[2 * i] = 1 - taps.weight;
    axis.weights[2 * i + 1] = taps.weight;
  }
  return axis;
}

Axis triangle_axis(int in, int out) {
  Axis axis{.taps = triangle_at(0, in, out).taps, .first = std::vector<int>(out), .weights = {}};
  axis.weights.resize(static_cast<std::size_t>(axis.taps) * out);
  std::vector<double> weights(axis.taps);
  for (int i = 0; i < out; ++i) {
    const TriangleTaps taps = triangle_at(i, in, out);
    double sum = 0;
    for (int t = 0; t < axis.taps; ++t) {
      const double distance = std::abs(taps.first + t + 0.5 - taps.centre);
      weights[t] = taps.first + t < in ? std::max(0.0, 1 - distance / taps.ratio) : 0;
      sum += weights[t];
    }
    axis.first[i] = taps.first;
    for (int t = 0; t < axis.taps; ++t) {
      axis.weights[static_cast<std::size_t>(i) * axis.taps + t] = static_cast<float>(weights[t] / sum);
    }
  }
  return axis;
}

Axis make_axis(Resampling resampling, int in, int out) {
  return is_triangle(resampling, in, out) ? triangle_axis(in, out) : linear_axis(resampling, in, out);
}

// line[j] (=|+=) sum of two, four rows: several at once, so that the line is read and written less often.
template <int kRows>
void add_rows(const std::uint8_t* const* rows, const float* weights, std::int64_t count, bool overwrite, float* line) {
  const std::uint8_t *a = rows[0], *b = rows[1], *c = rows[kRows - 2], *d = rows[kRows - 1];
  const float wa = weights[0], wb = weights[1], wc = weights[kRows - 2], wd = weights[kRows - 1];
  const auto sum_at = [=](std::int64_t j) {
    const float sum = wa * static_cast<float>(a[j]) + wb * static_cast<float>(b[j]);
    if constexpr (kRows == 2) return sum;
    return sum + (wc * static_cast<float>(c[j]) + wd * static_cast<float>(d[j]));
  };
  if (overwrite) {
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) line[j] = sum_at(j);
  } else {
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) line[j] += sum_at(j);
  }
}

// One line of floats (0..255): the source rows of output row `row`, weighted.
void sum_rows(const Resize& args, const Axis& axis, int row, float* line) {
  const std::int64_t count = std::int64_t{args.width} * args.channels;
  for (int t = 0; t < axis.taps; t += 4) {
    const std::uint8_t* rows[4];
    float weights[4];
    for (int k = 0; k < 4; ++k) {
      const int source = std::min(axis.first[row] + t + k, args.height - 1);
      rows[k] = args.pixels + source * count;
      weights[k] = t + k < axis.taps ? axis.weights[static_cast<std::size_t>(row) * axis.taps + t + k] : 0;
    }
    if (weights[2] == 0 && weights[3] == 0) {
      if (t == 0 || weights[0] != 0 || weights[1] != 0) add_rows<2>(rows, weights, count, t == 0, line);
    } else {
      add_rows<4>(rows, weights, count, t == 0, line);
    }
  }
}

// Four channels at once; lanes beyond the last channel are overwritten by the next pixel, so that `out` needs room for
// three floats after its end, and `line` taps + 1 pixels and three floats of zeros.
void pick_columns(const float* line, const Axis& axis, int columns, int channels, float* out) {
  for (int column = 0; column < columns; ++column) {
    const float* weights = axis.weights.data() + static_cast<std::size_t>(column) * axis.taps;
    for (int c = 0; c < channels; c += 4) {
      const float* source = line + std::int64_t{axis.first[column]} * channels + c;
      Float4 sum = {};
      for (int t = 0; t < axis.taps; ++t, source += channels) {
        Float4 pixel;
        std::memcpy(&pixel, source, sizeof pixel);
        sum += weights[t] * pixel;
      }
      std::memcpy(out + std::int64_t{column} * channels + c, &sum, sizeof sum);
    }
  }
}

template <class T>
T from255(float value) {
  if constexpr (sizeof(T) == 1)
    return static_cast<T>(value + 0.5f);
  else
    return from_float<T>(value / 255);
}

template <class T>
void store_pixels(const float* values, int columns, int channels, std::int64_t pitch, T* out) {
  if (pitch == channels) {
#pragma omp simd
    for (std::int64_t i = 0; i < std::int64_t{columns} * channels; ++i) out[i] = from255<T>(values[i]);
    return;
  }
  for (int column = 0; column < columns; ++column) {
    for (int c = 0; c < channels; ++c)
      out[column * pitch + c] = from255<T>(values[std::int64_t{column} * channels + c]);
  }
}

template <class T>
void fill_pixels(int columns, int channels, std::int64_t pitch, T* out) {
  for (int column = 0; column < columns; ++column) std::fill_n(out + column * pitch, channels, from255<T>(kResizeFill));
}

template <class T>
void resize_to(const Resize& args) {
  const Tensor& y = args.y;
  const int channels = args.channels;
  const ResizePlacement placement = place_photo(args);
  const Axis vertical = make_axis(args.resampling, args.height, placement.height);
  const Axis horizontal = make_axis(args.resampling, args.width, placement.width);
  const std::size_t line_size = (std::size_t(args.width) + horizontal.taps + 1) * channels + 3;
  const std::size_t out_size = std::size_t(placement.width) * channels + 3;
  const bool parallel = std::int64_t{args.width} * channels * vertical.taps * placement.height > 100'000;
  const int threads = parallel ? omp_get_max_threads() : 1;
  std::vector<float> scratch((line_size + out_size) * threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (parallel)
  for (int row = 0; row < y.h; ++row) {
    T* target = y.as<T>() + std::int64_t{row} * y.w * y.pitch;
    if (row < placement.top || row >= placement.top + placement.height) {
      fill_pixels(y.w, channels, y.pitch, target);
      continue;
    }
    float* line = scratch.data() + (line_size + out_size) * omp_get_thread_num();
    float* out = line + line_size;
    sum_rows(args, vertical, row - placement.top, line);
    pick_columns(line, horizontal, placement.width, channels, out);
    const int right = placement.left + placement.width;
    fill_pixels(placement.left, channels, y.pitch, target);
    store_pixels(out, placement.width, channels, y.pitch, target + placement.left * y.pitch);
    fill_pixels(y.w - right, channels, y.pitch, target + right * y.pitch);
  }
}

}  // namespace

void resize(const Resize& args, Stream) {
  check_resize(args);
  switch (args.y.dtype) {
    case DType::u8:
      return resize_to<std::uint8_t>(args);
    case DType::f32:
      return resize_to<float>(args);
    case DType::bf16:
      return resize_to<std::uint16_t>(args);
    default:
      throw Error(
          fmt::format("resize: output of type {} is not supported; use u8, f32 or bf16", name_of(args.y.dtype)));
  }
}

}  // namespace rook::cpu
