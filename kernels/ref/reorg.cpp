// Space to depth in the loops in which darknet defines it (darknet.md 1.5 "reorg"): over planar (channel, row, column)
// indices of dims (w, h, c), with c' = c / s^2, element (k, j, i) of the deep side belongs to
// (k mod c', j s + off / s, i s + off mod s), off = k / c', of an array c' x (h s) x (w s) on the wide side.
// The plain map passes the dims of the deep side, so both arrays are the tensors themselves and deep channel off C + c
// is tap off of channel c. The legacy map passes the dims of the wide side; the flat indices are then reinterpreted in
// the shapes of the tensors, which makes it a different permutation.
// darknet names the maps by the dims it passes, those of the layer's input ([reorg]) or output ([reorg3d]); with
// reverse=1 these are the other side's, so its [reorg] reverse=1 is our plain map reversed, and its [reorg3d] reverse=1
// our legacy one.
#include "kernels/ref/element.h"
#include "kernels/spatial.h"

namespace rook::ref {
namespace {

struct Place {
  int y, x, c;
};

// Where element `index` of the planar order of one image of `t` lies.
Place place_of(const Tensor& t, std::int64_t index) {
  return {static_cast<int>(index / t.w % t.h), static_cast<int>(index % t.w),
          static_cast<int>(index / (std::int64_t{t.w} * t.h))};
}

}  // namespace

void reorg(const Reorg& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements in(args.x), out(args.y);
  const Tensor& wide = args.reverse ? args.y : args.x;
  const Tensor& deep = args.reverse ? args.x : args.y;
  const Tensor& dims = args.legacy ? wide : deep;
  const int s = args.stride, inner = dims.c / (s * s);
  for (int n = 0; n < dims.n; ++n) {
    std::int64_t deep_index = 0;
    for (int k = 0; k < dims.c; ++k)
      for (int j = 0; j < dims.h; ++j)
        for (int i = 0; i < dims.w; ++i) {
          const int channel = k % inner, off = k / inner;
          const std::int64_t row = j * s + off / s, column = i * s + off % s;
          const std::int64_t wide_index =
              column + std::int64_t{dims.w} * s * (row + std::int64_t{dims.h} * s * channel);
          const Place d = place_of(deep, deep_index++), w = place_of(wide, wide_index);
          const Place from = args.reverse ? d : w, to = args.reverse ? w : d;
          out.put(n, to.y, to.x, to.c, in.get(n, from.y, from.x, from.c), args.mode);
        }
  }
}

}  // namespace rook::ref
