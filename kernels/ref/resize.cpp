// Resizing of a u8 photo to a tensor, naive and in double: every output pixel is the weighted sum over its taps.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/ops.h"
#include "kernels/resize_plan.h"

namespace rook::ref {
namespace {

struct Tap {
  int index;
  double weight;
};

// Two neighbours of a position in index space, the position clamped to the image.
std::vector<Tap> linear_taps(double position, int in) {
  position = std::clamp(position, 0.0, in - 1.0);
  const int low = static_cast<int>(std::floor(position));
  return {{low, 1 - (position - low)}, {std::min(low + 1, in - 1), position - low}};
}

// Triangle of half width max(1, in / out) about the centre of the output pixel, normalised over the taps inside.
std::vector<Tap> triangle_taps(int i, int in, int out) {
  const double ratio = static_cast<double>(in) / out, centre = (i + 0.5) * ratio, width = std::max(1.0, ratio);
  std::vector<Tap> taps;
  double sum = 0;
  for (int j = 0; j < in; ++j) {
    const double weight = 1 - std::abs(j + 0.5 - centre) / width;
    if (weight <= 0) continue;
    taps.push_back({j, weight});
    sum += weight;
  }
  for (Tap& tap : taps) tap.weight /= sum;
  return taps;
}

std::vector<Tap> taps_of(Resampling resampling, int i, int in, int out) {
  switch (resampling) {
    case Resampling::half_pixel:
      return linear_taps((i + 0.5) * in / out - 0.5, in);
    case Resampling::align_corners:
      return linear_taps(i == out - 1 ? in - 1 : i * (in - 1.0) / (out - 1.0), in);
    case Resampling::area:
      return triangle_taps(i, in, out);
  }
  throw Error("resize: unknown resampling; use half_pixel, align_corners or area");
}

void store(const Tensor& y, int row, int column, int channel, double value255) {
  const std::int64_t at = (std::int64_t{row} * y.w + column) * y.pitch + channel;
  switch (y.dtype) {
    case DType::u8:
      y.as<std::uint8_t>()[at] = static_cast<std::uint8_t>(std::floor(value255 + 0.5));
      return;
    case DType::f32:
      y.as<float>()[at] = static_cast<float>(value255 / 255);
      return;
    case DType::f64:
      y.as<double>()[at] = value255 / 255;
      return;
    case DType::bf16:
      y.as<std::uint16_t>()[at] = float_to_bf16(static_cast<float>(value255 / 255));
      return;
    case DType::f16:
      break;
  }
  throw Error(
      fmt::format("ref resize: output of type {} is not supported; use u8, f32, f64 or bf16", name_of(y.dtype)));
}

}  // namespace

void resize(const Resize& args, Stream) {
  check_resize(args);
  const Tensor& y = args.y;
  int width = y.w, height = y.h;
  if (args.fit == Fit::letterbox) {
    // darknet.md 3.1; W/iw < H/ih, written without division. Never thinner than a pixel, where darknet would divide by
    // zero.
    if (std::int64_t{y.w} * args.height < std::int64_t{y.h} * args.width) {
      height = std::max(1, static_cast<int>(std::int64_t{args.height} * y.w / args.width));
    } else {
      width = std::max(1, static_cast<int>(std::int64_t{args.width} * y.h / args.height));
    }
  }
  const int left = (y.w - width) / 2, top = (y.h - height) / 2;
  for (int row = 0; row < y.h; ++row) {
    for (int column = 0; column < y.w; ++column) {
      const bool inside = row >= top && row < top + height && column >= left && column < left + width;
      const auto rows = inside ? taps_of(args.resampling, row - top, args.height, height) : std::vector<Tap>{};
      const auto columns = inside ? taps_of(args.resampling, column - left, args.width, width) : std::vector<Tap>{};
      for (int c = 0; c < y.c; ++c) {
        double sum = inside ? 0 : 127.5;
        for (const Tap& v : rows) {
          for (const Tap& h : columns) {
            sum += v.weight * h.weight * args.pixels[(std::int64_t{v.index} * args.width + h.index) * y.c + c];
          }
        }
        store(y, row, column, c, sum);
      }
    }
  }
}

}  // namespace rook::ref
