// Space to depth. Plain: the channels of wide pixel (j s + r, i s + q) are a run of deep pixel (j, i), at (r s + q) C,
// so whole pixels are copied. Legacy: darknet's index map (darknet.md 1.5 "reorg", kernels/ref/reorg.cpp) taken element
// by element; one small layer of YOLOv2 uses it. Both maps are bijections, so the deep side is walked whichever way the
// data flow.
#include "kernels/cpu/spatial_rows.h"
#include "kernels/legacy_reorg.h"
#include "kernels/spatial.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// dst (=|+=) src, `count` channels of a pixel.
template <class T>
void transfer(const T* src, T* dst, int count, Grad mode) {
  for_channels(count, [&](auto lanes, int c) { put_gradient(lanes, dst + c, lanes.get(src + c), mode); });
}

template <class T>
void plain_row(const Reorg& args, const Tensor& wide, const Tensor& deep, int n, int j) {
  const int s = args.stride;
  for (int i = 0; i < deep.w; ++i) {
    for (int tap = 0; tap < s * s; ++tap) {
      T* run = pixel_at<T>(deep, n, j, i) + std::int64_t{tap} * wide.c;
      T* pixel = pixel_at<T>(wide, n, j * s + tap / s, i * s + tap % s);
      if (args.reverse) {
        transfer(run, pixel, wide.c, args.mode);
      } else {
        transfer(pixel, run, wide.c, args.mode);
      }
    }
  }
}

template <class T>
void legacy_row(const Reorg& args, const Tensor& wide, const Tensor& deep, int n, int j) {
  T* image = pixel_at<T>(wide, n, 0, 0);
  for (int i = 0; i < deep.w; ++i) {
    T* pixel = pixel_at<T>(deep, n, j, i);
    for (int k = 0; k < deep.c; ++k) {
      const std::int64_t index = (std::int64_t{k} * deep.h + j) * deep.w + i;
      const PlanarPlace<std::int64_t> place = legacy_place(wide, args.stride, index);
      T* element = image + place.pixel * wide.pitch + place.channel;
      if (args.reverse) {
        transfer(pixel + k, element, 1, args.mode);
      } else {
        transfer(element, pixel + k, 1, args.mode);
      }
    }
  }
}

}  // namespace

void reorg(const Reorg& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Tensor& wide = args.reverse ? args.y : args.x;
  const Tensor& deep = args.reverse ? args.x : args.y;
  with_f32_or_bf16("reorg", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(deep, deep.elements(), [&](int n, int j) {
      if (args.legacy) {
        legacy_row<T>(args, wide, deep, n, j);
      } else {
        plain_row<T>(args, wide, deep, n, j);
      }
    });
  });
}

}  // namespace rook::cpu
