// y = w / S over the channels of each pixel, in double, and its derivative written as the sum over the Jacobian: dy_i /
// dx_j = (w_i' [i = j] - y_i dS / dx_j) / S.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "kernels/ref/element.h"

namespace rook::ref {
namespace {

constexpr double kEpsilon = 1e-4;

struct Pixel {
  std::vector<double> w, slope, dsum;  // w, dw / dx, dS / dx
  double sum = kEpsilon;               // S
};

// softmax_maxval in terms of exp(x): both w and S are exp(max) times smaller, and so S = epsilon exp(max) + sum exp(x).
Pixel pixel_of(const Elements& x, int channels, int n, int h, int row, ChannelNorm kind) {
  Pixel p;
  double top = 0;
  int largest = 0;
  if (kind != ChannelNorm::relu) {
    for (int c = 1; c < channels; ++c)
      if (x.get(n, h, row, c) > x.get(n, h, row, largest)) largest = c;
    top = x.get(n, h, row, largest);
  }
  // exp(-top) would overflow where exp(x) does not: the ratio to the largest is all that matters.
  if (kind == ChannelNorm::softmax) p.sum = kEpsilon * std::exp(-top);
  for (int c = 0; c < channels; ++c) {
    const double value = x.get(n, h, row, c);
    p.w.push_back(kind == ChannelNorm::relu ? (value < 0 ? 0 : value) : std::exp(value - top));
    p.slope.push_back(kind == ChannelNorm::relu ? (value > 0 ? 1 : 0) : p.w.back());
    p.sum += p.w.back();
  }
  p.dsum = p.slope;
  if (kind == ChannelNorm::softmax_maxval) p.dsum[static_cast<std::size_t>(largest)] += kEpsilon;
  return p;
}

}  // namespace

void normalize_channels_forward(const NormalizeChannelsForward& args, Stream) {
  check_args(args);
  const Elements x(args.x), y(args.y);
  for_each_pixel(args.x, [&](int n, int h, int w) {
    const Pixel p = pixel_of(x, args.x.c, n, h, w, args.kind);
    for (int c = 0; c < args.x.c; ++c) y.put(n, h, w, c, p.w[static_cast<std::size_t>(c)] / p.sum);
  });
}

void normalize_channels_backward(const NormalizeChannelsBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements x(args.x), dy(args.dy), dx(args.dx);
  for_each_pixel(args.x, [&](int n, int h, int w) {
    const Pixel p = pixel_of(x, args.x.c, n, h, w, args.kind);
    double dot = 0;
    for (int c = 0; c < args.x.c; ++c) dot += p.w[static_cast<std::size_t>(c)] / p.sum * dy.get(n, h, w, c);
    for (int c = 0; c < args.x.c; ++c) {
      const auto i = static_cast<std::size_t>(c);
      dx.put(n, h, w, c, (p.slope[i] * dy.get(n, h, w, c) - dot * p.dsum[i]) / p.sum, args.mode);
    }
  });
}

}  // namespace rook::ref
