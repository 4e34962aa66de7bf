#include "kernels/ref/activation.h"

#include "kernels/check.h"
#include "kernels/ref/element.h"

namespace rook::ref {

void activation_forward(const ActivationForward& args, Stream) {
  check_args(args);
  const Elements x(args.x), y(args.y);
  for_each_element(args.x,
                   [&](int n, int h, int w, int c) { y.put(n, h, w, c, act(args.activation, x.get(n, h, w, c))); });
}

void activation_backward(const ActivationBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements x(args.x), dy(args.dy), dx(args.dx);
  for_each_element(args.x, [&](int n, int h, int w, int c) {
    dx.put(n, h, w, c, dy.get(n, h, w, c) * dact(args.activation, x.get(n, h, w, c)), args.mode);
  });
}

}  // namespace rook::ref
