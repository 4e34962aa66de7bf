// Nearest neighbour: y[oy, ox] = scale x[oy / stride, ox / stride].
#include "kernels/cpu/spatial_rows.h"
#include "kernels/spatial.h"
#include "kernels/storage.h"

namespace rook::cpu {

void upsample_forward(const UpsampleForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("upsample_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.y, args.y.elements(), [&](int n, int oy) {
      for (int x = 0; x < args.x.w; ++x) {
        const T* in = pixel_at<T>(args.x, n, oy / args.stride, x);
        T* out = pixel_at<T>(args.y, n, oy, x * args.stride);
        for_channels(args.x.c, [&](auto lanes, int c) {
          const Vec value = args.scale * lanes.get(in + c);
          for (int s = 0; s < args.stride; ++s) lanes.put(out + s * args.y.pitch + c, value);
        });
      }
    });
  });
}

// Each pixel of dx gathers its stride^2 pixels of dy.
void upsample_backward(const UpsampleBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("upsample_backward", args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.dx, args.dy.elements(), [&](int n, int y) {
      for (int x = 0; x < args.dx.w; ++x) {
        T* dx = pixel_at<T>(args.dx, n, y, x);
        for_channels(args.dx.c, [&](auto lanes, int c) {
          Vec sum = {};
          for (int r = 0; r < args.stride; ++r) {
            const T* dy = pixel_at<T>(args.dy, n, y * args.stride + r, x * args.stride) + c;
            for (int s = 0; s < args.stride; ++s) sum += lanes.get(dy + s * args.dy.pitch);
          }
          put_gradient(lanes, dx + c, args.scale * sum, args.mode);
        });
      }
    });
  });
}

}  // namespace rook::cpu
