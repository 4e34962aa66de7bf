// Maximum and mean over windows, and mean over the image. Backward gathers: each pixel of the image sums over the
// windows that cover it, in a fixed order, so nothing need be zeroed and no two threads write the same place. Where
// many windows cover a pixel, of which few chose it, the maximum's backward scatters instead.
#include <limits>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/spatial_rows.h"
#include "kernels/pool_axis.h"
#include "kernels/spatial.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// Of windows of up to so many taps gradients are gathered, vector by vector; of 25 scattering takes half as long.
constexpr int kGatherLimit = 9;

template <class Tap>
Tap* taps_at(Tap* taps, const Tensor& y, int n, int oy, int ox) {
  return taps + ((std::int64_t{n} * y.h + oy) * y.w + ox) * y.c;
}

// One row of outputs. Greater wins; so does the first NaN over any number, to stay visible.
template <class T, bool kTaps>
void maxpool_row(const MaxPoolForward& args, const PoolAxes& axes, int n, int oy) {
  const int size_w = args.geometry.size_w;
  const PoolRange rows = axes.h.taps(oy);
  const std::int64_t row_pitch = args.x.w * args.x.pitch;
  for (int ox = 0; ox < args.y.w; ++ox) {
    const PoolRange columns = axes.w.taps(ox);
    const T* corner = pixel_at<T>(args.x, n, axes.h.start(oy) + rows.begin, axes.w.start(ox) + columns.begin);
    T* out = pixel_at<T>(args.y, n, oy, ox);
    [[maybe_unused]] std::uint16_t* taps = kTaps ? taps_at(args.taps, args.y, n, oy, ox) : nullptr;
    for_channels(args.y.c, [&](auto lanes, int c) {
      Vec best = lanes.get(corner + c);
      VecUint chosen = VecUint{} + static_cast<std::uint32_t>(rows.begin * size_w + columns.begin);
      for (int r = rows.begin; r < rows.end; ++r) {
        const T* source = corner + (r - rows.begin) * row_pitch + c;
        for (int s = columns.begin; s < columns.end; ++s, source += args.x.pitch) {
          const Vec value = lanes.get(source);
          // Two selects instead of one with a combined mask: compilers keep each mask in a mask register.
          if constexpr (kTaps) {
            const VecUint tap = VecUint{} + static_cast<std::uint32_t>(r * size_w + s);
            const VecUint unless_nan = best == best ? tap : chosen;
            chosen = value <= best ? chosen : unless_nan;
          }
          const Vec unless_nan = best == best ? value : best;
          best = value <= best ? best : unless_nan;
        }
      }
      lanes.put(out + c, best);
      if constexpr (kTaps) lanes.put_indices(taps + c, chosen);
    });
  }
}

// For one row iy of dx: each element becomes (or gains) the sum over the windows that hold its pixel of
// term(lanes, oy, ox, window, tap, c), `window` being the number of (n, oy, ox) and `tap` that of the pixel in it.
template <class T, class Term>
void gather_row(const Tensor& dx, const PoolAxes& axes, int n, int iy, Grad mode, Term term) {
  const PoolRange rows = axes.h.windows(iy);
  const std::int64_t first_row = std::int64_t{n} * axes.h.outputs;
  for (int ix = 0; ix < dx.w; ++ix) {
    const PoolRange columns = axes.w.windows(ix);
    T* out = pixel_at<T>(dx, n, iy, ix);
    for_channels(dx.c, [&](auto lanes, int c) {
      Vec sum = {};
      for (int oy = rows.begin; oy < rows.end; ++oy) {
        const std::int64_t row = (first_row + oy) * axes.w.outputs;
        const int tap_row = (iy - axes.h.start(oy)) * axes.w.size;
        for (int ox = columns.begin; ox < columns.end; ++ox) {
          sum += term(lanes, oy, ox, row + ox, tap_row + ix - axes.w.start(ox), c);
        }
      }
      put_gradient(lanes, out + c, sum, mode);
    });
  }
}

// Each window adds its gradient to the pixel that it chose. A thread has a few channels of an image to itself and adds
// in the order of the windows, so the number of threads changes nothing.
template <class T>
void scatter_gradient(const MaxPoolBackward& args, const PoolAxes& axes) {
  constexpr int kBlock = 2 * kLanes;
  const Tensor &dx = args.dx, &dy = args.dy;
  const int blocks = (dx.c + kBlock - 1) / kBlock, taps = axes.h.size * axes.w.size;
  parallel_for(std::int64_t{dx.n} * blocks, dy.elements() + dx.elements(), [&](std::int64_t i) {
    const int n = static_cast<int>(i / blocks), first = static_cast<int>(i % blocks) * kBlock;
    const int count = std::min(kBlock, dx.c - first);
    ScratchScope scratch;
    const std::int64_t size = std::int64_t{dx.h} * dx.w * kBlock;
    float* const sums = scratch.floats(size);
    std::fill_n(sums, size, 0.0f);
    // Of each tap in `sums`, from its window's corner; behind them, for what is no tap, one that is outside.
    auto* const place = scratch.take<std::int64_t>(taps + 1);
    place[taps] = std::numeric_limits<std::int64_t>::max() / 2;
    for (int tap = 0; tap < taps; ++tap)
      place[tap] = (std::int64_t{tap / axes.w.size} * dx.w + tap % axes.w.size) * kBlock;
    for (int oy = 0; oy < dy.h; ++oy)
      for (int ox = 0; ox < dy.w; ++ox) {
        const std::int64_t corner = (std::int64_t{axes.h.start(oy)} * dx.w + axes.w.start(ox)) * kBlock;
        const std::uint16_t* const chosen = taps_at(args.taps, dy, n, oy, ox) + first;
        float gradient[kBlock];
        for_channels(count, [&, source = pixel_at<T>(dy, n, oy, ox) + first](auto lanes, int c) {
          lanes.put(gradient + c, lanes.get(source + c));
        });
        for (int c = 0; c < count; ++c) {
          const std::int64_t at = corner + place[std::min<int>(chosen[c], taps)];
          if (at >= 0 && at < size) sums[at + c] += gradient[c];
        }
      }
    for (int y = 0; y < dx.h; ++y)
      for (int x = 0; x < dx.w; ++x) {
        T* const out = pixel_at<T>(dx, n, y, x) + first;
        const float* const sum = sums + (std::int64_t{y} * dx.w + x) * kBlock;
        for_channels(count, [&](auto lanes, int c) { put_gradient(lanes, out + c, lanes.get(sum + c), args.mode); });
      }
  });
}

std::int64_t taps_in_all(const PoolGeometry& g, const Tensor& y) {
  return y.elements() * g.size_h * g.size_w;
}

}  // namespace

void maxpool_forward(const MaxPoolForward& args, Stream) {
  check_args(args);
  const PoolAxes axes = axes_of(args.geometry, args.x, args.y);
  with_f32_or_bf16("maxpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.y, taps_in_all(args.geometry, args.y), [&](int n, int oy) {
      if (args.taps != nullptr) {
        maxpool_row<T, true>(args, axes, n, oy);
      } else {
        maxpool_row<T, false>(args, axes, n, oy);
      }
    });
  });
}

void maxpool_backward(const MaxPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const PoolAxes axes = axes_of(args.geometry, args.dx, args.dy);
  with_f32_or_bf16("maxpool_backward", args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    if (args.geometry.size_h * args.geometry.size_w > kGatherLimit) return scatter_gradient<T>(args, axes);
    const T* const dy = args.dy.as<T>();
    const std::uint16_t* const taps = args.taps;
    const std::int64_t pitch = args.dy.pitch, channels = args.dy.c;
    for_pixel_rows(args.dx, taps_in_all(args.geometry, args.dy), [=](int n, int iy) {
      gather_row<T>(args.dx, axes, n, iy, args.mode,
                    [=](auto lanes, int, int, std::int64_t window, int tap, int c) -> Vec {
                      const VecUint chosen = lanes.get_indices(taps + window * channels + c);
                      return chosen == static_cast<std::uint32_t>(tap) ? lanes.get(dy + window * pitch + c) : Vec{};
                    });
    });
  });
}

void local_avgpool_forward(const LocalAvgPoolForward& args, Stream) {
  check_args(args);
  const PoolAxes axes = axes_of(args.geometry, args.x, args.y);
  with_f32_or_bf16("local_avgpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.y, taps_in_all(args.geometry, args.y), [&](int n, int oy) {
      const PoolRange rows = axes.h.taps(oy);
      for (int ox = 0; ox < args.y.w; ++ox) {
        const PoolRange columns = axes.w.taps(ox);
        const float count = static_cast<float>(rows.size()) * static_cast<float>(columns.size());
        T* out = pixel_at<T>(args.y, n, oy, ox);
        for_channels(args.y.c, [&](auto lanes, int c) {
          Vec sum = {};
          for (int r = rows.begin; r < rows.end; ++r) {
            const T* source = pixel_at<T>(args.x, n, axes.h.start(oy) + r, axes.w.start(ox) + columns.begin) + c;
            for (int s = columns.begin; s < columns.end; ++s, source += args.x.pitch) sum += lanes.get(source);
          }
          lanes.put(out + c, sum / count);
        });
      }
    });
  });
}

void local_avgpool_backward(const LocalAvgPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const PoolAxes axes = axes_of(args.geometry, args.dx, args.dy);
  with_f32_or_bf16("local_avgpool_backward", args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.dx, taps_in_all(args.geometry, args.dy), [&](int n, int iy) {
      gather_row<T>(args.dx, axes, n, iy, args.mode, [&](auto lanes, int oy, int ox, std::int64_t window, int, int c) {
        const float count = static_cast<float>(axes.h.taps(oy).size()) * static_cast<float>(axes.w.taps(ox).size());
        return lanes.get(args.dy.as<T>() + window * args.dy.pitch + c) / count;
      });
    });
  });
}

// Channels are dealt out in blocks, each summed by one thread: rows in float, the image in double.
void avgpool_forward(const AvgPoolForward& args, Stream) {
  check_args(args);
  constexpr int kBlock = 64;
  const int blocks = (args.x.c + kBlock - 1) / kBlock;
  const double pixels = static_cast<double>(args.x.h) * args.x.w;
  with_f32_or_bf16("avgpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    parallel_for(std::int64_t{args.x.n} * blocks, args.x.elements(), [&](std::int64_t i) {
      const int n = static_cast<int>(i / blocks), first = static_cast<int>(i % blocks) * kBlock;
      const int count = std::min(kBlock, args.x.c - first);
      double sum[kBlock] = {};
      for (int y = 0; y < args.x.h; ++y) {
        const T* row = pixel_at<T>(args.x, n, y, 0) + first;
        float row_sum[kBlock] = {};
        for (int x = 0; x < args.x.w; ++x, row += args.x.pitch) {
          for_channels(count,
                       [&](auto lanes, int c) { lanes.put(row_sum + c, lanes.get(row_sum + c) + lanes.get(row + c)); });
        }
        for (int c = 0; c < count; ++c) sum[c] += row_sum[c];
      }
      float mean[kBlock];
      for (int c = 0; c < count; ++c) mean[c] = static_cast<float>(sum[c] / pixels);
      T* out = pixel_at<T>(args.y, n, 0, 0) + first;
      for_channels(count, [&](auto lanes, int c) { lanes.put(out + c, lanes.get(mean + c)); });
    });
  });
}

void avgpool_backward(const AvgPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const float pixels = static_cast<float>(args.dx.h) * static_cast<float>(args.dx.w);
  with_f32_or_bf16("avgpool_backward", args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_pixel_rows(args.dx, args.dx.elements(), [&](int n, int y) {
      const T* dy = pixel_at<T>(args.dy, n, 0, 0);
      for (int x = 0; x < args.dx.w; ++x) {
        T* dx = pixel_at<T>(args.dx, n, y, x);
        for_channels(args.dx.c,
                     [&](auto lanes, int c) { put_gradient(lanes, dx + c, lanes.get(dy + c) / pixels, args.mode); });
      }
    });
  });
}

}  // namespace rook::cpu
