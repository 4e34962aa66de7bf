// Softmax over the channels of each group, with temperature.
#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/ref/element.h"

namespace rook::ref {
namespace {

// Calls visit(n, h, w, first channel, one past the last) for every group of every pixel.
template <class Visit>
void for_each_group(const Tensor& t, int groups, Visit visit) {
  const int size = t.c / groups;
  for (int n = 0; n < t.n; ++n)
    for (int h = 0; h < t.h; ++h)
      for (int w = 0; w < t.w; ++w)
        for (int g = 0; g < groups; ++g) visit(n, h, w, g * size, (g + 1) * size);
}

}  // namespace

void softmax_forward(const SoftmaxForward& args, Stream) {
  check_args(args);
  const Elements x(args.x), y(args.y);
  for_each_group(args.x, args.groups, [&](int n, int h, int w, int begin, int end) {
    double top = x.get(n, h, w, begin), sum = 0;
    for (int c = begin; c < end; ++c) top = std::max(top, x.get(n, h, w, c));
    for (int c = begin; c < end; ++c) sum += std::exp((x.get(n, h, w, c) - top) / args.temperature);
    for (int c = begin; c < end; ++c) y.put(n, h, w, c, std::exp((x.get(n, h, w, c) - top) / args.temperature) / sum);
  });
}

void softmax_backward(const SoftmaxBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements y(args.y), dy(args.dy), dx(args.dx);
  for_each_group(args.y, args.groups, [&](int n, int h, int w, int begin, int end) {
    double dot = 0;
    for (int c = begin; c < end; ++c) dot += y.get(n, h, w, c) * dy.get(n, h, w, c);
    for (int c = begin; c < end; ++c) {
      dx.put(n, h, w, c, y.get(n, h, w, c) * (dy.get(n, h, w, c) - dot) / args.temperature, args.mode);
    }
  });
}

}  // namespace rook::ref
