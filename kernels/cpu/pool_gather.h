// The backward passes of pooling, by gathering: each pixel of the image sums over the windows that cover it, in a fixed
// order, so nothing need be zeroed and no two threads write the same place.
#pragma once

#include "kernels/cpu/spatial_rows.h"
#include "kernels/pool_axis.h"

namespace rook::cpu {

// For one row iy of dx: each element becomes (or gains) the sum over the windows that hold its pixel of
// term(lanes, oy, ox, window, tap, c), `window` being the number of (n, oy, ox) and `tap` that of the pixel in it.
template <class T, class Term>
void gather_row(const Tensor& dx, const PoolAxes& axes, int n, int iy, Grad mode, Term term) {
  const PoolRange rows = axes.h.windows(iy);
  const std::int64_t first_row = std::int64_t{n} * axes.h.outputs;
  for (int ix = 0; ix < dx.w; ++ix) {
    const PoolRange columns = axes.w.windows(ix);
    T* out = pixel_at<T>(dx, n, iy, ix);
    const auto term_of = [&](auto lanes, int oy, int ox, int c) {
      return term(lanes, oy, ox, (first_row + oy) * axes.w.outputs + ox,
                  (iy - axes.h.start(oy)) * axes.w.size + ix - axes.w.start(ox), c);
    };
    if (rows.size() == 1 && columns.size() == 1) {  // as everywhere where windows do not overlap: no loops per vector
      for_channels(dx.c, [&, oy = rows.begin, ox = columns.begin](auto lanes, int c) {
        put_gradient(lanes, out + c, term_of(lanes, oy, ox, c), mode);
      });
      continue;
    }
    for_channels(dx.c, [&](auto lanes, int c) {
      Vec sum = {};
      for (int oy = rows.begin; oy < rows.end; ++oy)
        for (int ox = columns.begin; ox < columns.end; ++ox) sum += term_of(lanes, oy, ox, c);
      put_gradient(lanes, out + c, sum, mode);
    });
  }
}

// Taps of all windows: what decides on threads.
inline std::int64_t taps_in_all(const PoolGeometry& g, const Tensor& y) {
  return y.elements() * g.size_h * g.size_w;
}

}  // namespace rook::cpu
