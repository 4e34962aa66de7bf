// Nearest neighbour: y[oy, ox] = scale x[oy / stride, ox / stride].
#include "kernels/ref/element.h"
#include "kernels/spatial.h"

namespace rook::ref {

void upsample_forward(const UpsampleForward& args, Stream) {
  check_args(args);
  const Elements in(args.x), out(args.y);
  for_each_element(args.y, [&](int n, int oy, int ox, int c) {
    out.put(n, oy, ox, c, args.scale * in.get(n, oy / args.stride, ox / args.stride, c));
  });
}

void upsample_backward(const UpsampleBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements dy(args.dy), dx(args.dx);
  for_each_element(args.dx, [&](int n, int y, int x, int c) {
    double sum = 0;
    for (int r = 0; r < args.stride; ++r)
      for (int s = 0; s < args.stride; ++s) sum += dy.get(n, y * args.stride + r, x * args.stride + s, c);
    dx.put(n, y, x, c, args.scale * sum, args.mode);
  });
}

}  // namespace rook::ref
