// copy_channels, shortcut, scale_channels, sam: sums and products of tensors.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/ref/element.h"

namespace rook::ref {

void copy_channels(const CopyChannels& args, Stream) {
  if (args.mode == Grad::none) return;
  check_args(args);
  const Elements src(args.src), dst(args.dst);
  for_each_element(args.src, [&](int n, int h, int w, int c) { dst.put(n, h, w, c, src.get(n, h, w, c), args.mode); });
}

void shortcut_forward(const ShortcutForward& args, Stream) {
  check_args(args);
  const Elements y(args.y);
  for_each_element(args.y, [&](int n, int h, int w, int c) {
    double sum = 0;
    for (const Tensor& input : args.inputs) {
      if (c < input.c) sum += Elements(input).get(n, h, w, c);
    }
    y.put(n, h, w, c, sum);
  });
}

void shortcut_backward(const ShortcutBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements dy(args.dy), dinput(args.dinput);
  for_each_element(args.dinput, [&](int n, int h, int w, int c) {
    dinput.put(n, h, w, c, c < args.dy.c ? dy.get(n, h, w, c) : 0, args.mode);
  });
}

void scale_channels_forward(const ScaleChannelsForward& args, Stream) {
  check_args(args);
  const bool spatial = is_spatial_gate(args.x, args.gate);
  const Elements x(args.x), gate(args.gate), y(args.y);
  for_each_element(args.x, [&](int n, int h, int w, int c) {
    y.put(n, h, w, c, x.get(n, h, w, c) * (spatial ? gate.get(n, h, w, 0) : gate.get(n, 0, 0, c)));
  });
}

void scale_channels_backward(const ScaleChannelsBackward& args, Stream) {
  check_args(args);
  const bool spatial = is_spatial_gate(args.x, args.gate);
  const Elements x(args.x), gate(args.gate), dy(args.dy), dx(args.dx), dgate(args.dgate);
  if (args.dgate_mode != Grad::none) {
    for_each_element(args.gate, [&](int n, int h, int w, int c) {
      double sum = 0;
      if (spatial) {
        for (int k = 0; k < args.x.c; ++k) sum += x.get(n, h, w, k) * dy.get(n, h, w, k);
      } else {
        for (int i = 0; i < args.x.h; ++i)
          for (int j = 0; j < args.x.w; ++j) sum += x.get(n, i, j, c) * dy.get(n, i, j, c);
      }
      dgate.put(n, h, w, c, sum, args.dgate_mode);
    });
  }
  if (args.dx_mode == Grad::none) return;
  for_each_element(args.x, [&](int n, int h, int w, int c) {
    const double factor = spatial ? gate.get(n, h, w, 0) : gate.get(n, 0, 0, c);
    dx.put(n, h, w, c, dy.get(n, h, w, c) * factor, args.dx_mode);
  });
}

void sam_forward(const SamForward& args, Stream) {
  check_args(args);
  const Elements a(args.a), b(args.b), y(args.y);
  for_each_element(args.a,
                   [&](int n, int h, int w, int c) { y.put(n, h, w, c, a.get(n, h, w, c) * b.get(n, h, w, c)); });
}

void sam_backward(const SamBackward& args, Stream) {
  check_args(args);
  const Elements a(args.a), b(args.b), dy(args.dy), da(args.da), db(args.db);
  for_each_element(args.a, [&](int n, int h, int w, int c) {
    const double gradient = dy.get(n, h, w, c);
    if (args.da_mode != Grad::none) da.put(n, h, w, c, gradient * b.get(n, h, w, c), args.da_mode);
    if (args.db_mode != Grad::none) db.put(n, h, w, c, gradient * a.get(n, h, w, c), args.db_mode);
  });
}

}  // namespace rook::ref
