// Maximum over windows. Small windows are looked at tap by tap, and their gradients gathered; for larger ones both take
// too many steps: of these the rows are looked at first, then the maxima of the rows, and each window adds its gradient
// to the pixel that it chose.
#include <algorithm>
#include <limits>

#include "kernels/cpu/pool_gather.h"
#include "kernels/cpu/scratch.h"
#include "kernels/spatial.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// Windows of up to so many taps are small.
constexpr int kSmallWindow = 9;

bool is_small(const PoolGeometry& g) {
  return g.size_h * g.size_w <= kSmallWindow;
}

std::int64_t window_number(const Tensor& y, int n, int oy, int ox) {
  return (std::int64_t{n} * y.h + oy) * y.w + ox;
}

// The maximum of values that are seen one after the other. Greater wins; so does the first NaN over any number, to stay
// visible. With kTaps, which one it is, too.
template <bool kTaps>
struct Maximum {
  Vec value;
  VecUint tap;

  void see(Vec next, VecUint next_tap) {
    // Two selects instead of one with a combined mask: compilers keep each mask in a mask register.
    if constexpr (kTaps) {
      const VecUint unless_nan = value == value ? next_tap : tap;
      tap = next <= value ? tap : unless_nan;
    }
    const Vec unless_nan = value == value ? next : value;
    value = next <= value ? value : unless_nan;
  }
};

VecUint number(int tap) {
  return VecUint{} + static_cast<std::uint32_t>(tap);
}

// One row of outputs, of small windows. Inlined into the loop over rows it is slower by a tenth: too few registers.
template <class T, bool kTaps>
[[gnu::noinline]] void maxpool_row(const MaxPoolForward& args, const PoolAxes& axes, int n, int oy) {
  const int size_w = args.geometry.size_w;
  const PoolRange rows = axes.h.taps(oy);
  const std::int64_t pitch = args.x.pitch, row_pitch = args.x.w * pitch;
  for (int ox = 0; ox < args.y.w; ++ox) {
    const PoolRange columns = axes.w.taps(ox);
    const T* corner = pixel_at<T>(args.x, n, axes.h.start(oy) + rows.begin, axes.w.start(ox) + columns.begin);
    T* out = pixel_at<T>(args.y, n, oy, ox);
    [[maybe_unused]] std::uint16_t* taps = kTaps ? args.taps + window_number(args.y, n, oy, ox) * args.y.c : nullptr;
    for_channels(args.y.c, [=](auto lanes, int c) {
      Maximum<kTaps> best{lanes.get(corner + c), number(rows.begin * size_w + columns.begin)};
      for (int r = rows.begin; r < rows.end; ++r) {
        const T* source = corner + (r - rows.begin) * row_pitch + c;
        for (int s = columns.begin; s < columns.end; ++s, source += pitch)
          best.see(lanes.get(source), number(r * size_w + s));
      }
      lanes.put(out + c, best.value);
      if constexpr (kTaps) lanes.put_indices(taps + c, best.tap);
    });
  }
}

// Larger windows: a thread takes some channels of an image, so many that a pixel's are a few cache lines.
constexpr int kBlockChannels = 64;

// Calls f(n, first channel, channels) for all blocks of the channels of all images of `t`, on all threads.
template <class F>
void for_channel_blocks(const Tensor& t, std::int64_t work, F f) {
  const std::int64_t blocks = divide_up(t.c, kBlockChannels);
  parallel_for(t.n * blocks, work, [&](std::int64_t i) {
    const int first = static_cast<int>(i % blocks) * kBlockChannels;
    f(static_cast<int>(i / blocks), first, std::min(kBlockChannels, t.c - first));
  });
}

// The maxima of each row of a window, and of these the maximum: the same as tap by tap, ties and NaN included, since
// taps are numbered row by row. Of the rows' maxima as many rows are kept as a window has: row iy in place iy % kept_.
template <class T, bool kTaps>
class MaxPoolByRows {
 public:
  MaxPoolByRows(const MaxPoolForward& args, const PoolAxes& axes, int n, int first, int count)
      : args_(args), axes_(axes), n_(n), first_(first), count_(count) {}

  void run() {
    int ready = 0;
    for (int oy = 0; oy < args_.y.h; ++oy) {
      const PoolRange rows = axes_.h.taps(oy);
      const int top = axes_.h.start(oy);
      for (int iy = std::max(ready, top + rows.begin); iy < top + rows.end; ++iy) maxima_of_row(iy);
      ready = std::max(ready, top + rows.end);
      outputs(oy, rows, (top + rows.begin) % kept_);
    }
  }

 private:
  void maxima_of_row(int iy) {
    const std::int64_t pitch = args_.x.pitch, row = iy % kept_ * pitch_;
    for (int ox = 0; ox < args_.y.w; ++ox) {
      const PoolRange columns = axes_.w.taps(ox);
      const T* const begin = pixel_at<T>(args_.x, n_, iy, axes_.w.start(ox) + columns.begin) + first_;
      float* const values = values_ + row + ox * kBlockChannels;
      std::uint16_t* const taps = taps_ + row + ox * kBlockChannels;
      for_channels(count_, [=](auto lanes, int c) {
        const T* source = begin + c;
        Maximum<kTaps> best{lanes.get(source), number(columns.begin)};
        for (int s = columns.begin + 1; s < columns.end; ++s) best.see(lanes.get(source += pitch), number(s));
        lanes.put(values + c, best.value);
        if constexpr (kTaps) lanes.put_indices(taps + c, best.tap);
      });
    }
  }

  // `place`: of the first of these rows.
  void outputs(int oy, PoolRange rows, int place) {
    const int size_w = args_.geometry.size_w;
    const std::int64_t pitch = pitch_, end = kept_ * pitch;
    for (int ox = 0; ox < args_.y.w; ++ox) {
      T* const out = pixel_at<T>(args_.y, n_, oy, ox) + first_;
      std::uint16_t* const out_taps =
          kTaps ? args_.taps + window_number(args_.y, n_, oy, ox) * args_.y.c + first_ : nullptr;
      const std::int64_t column = ox * kBlockChannels;
      const float* const values = values_ + column;
      const std::uint16_t* const taps = taps_ + column;
      for_channels(count_, [=](auto lanes, int c) {
        const auto tap_of = [=](int r, std::int64_t row) {
          if constexpr (kTaps) return number(r * size_w) + lanes.get_indices(taps + row + c);
          return VecUint{};
        };
        std::int64_t row = place * pitch;
        Maximum<kTaps> best{lanes.get(values + row + c), tap_of(rows.begin, row)};
        for (int r = rows.begin + 1; r < rows.end; ++r) {
          row += pitch;
          if (row == end) row = 0;
          best.see(lanes.get(values + row + c), tap_of(r, row));
        }
        lanes.put(out + c, best.value);
        if constexpr (kTaps) lanes.put_indices(out_taps + c, best.tap);
      });
    }
  }

  const MaxPoolForward& args_;
  const PoolAxes& axes_;
  const int n_, first_, count_;
  ScratchScope scratch_;
  const int kept_ = std::min(args_.geometry.size_h, args_.x.h);
  const std::int64_t pitch_ = std::int64_t{args_.y.w} * kBlockChannels;
  // [kept_, y.w, kBlockChannels] each
  float* const values_ = scratch_.floats(kept_ * pitch_);
  std::uint16_t* const taps_ = scratch_.take<std::uint16_t>(kept_ * pitch_);
};

// Some channels of a pixel are too short for the processor to guess which it will be asked for next.
constexpr int kWindowsAhead = 6;

template <class T>
void prefetch(const T* begin, int count) {
  constexpr int kLine = 64 / sizeof(T);
  for (int i = 0; i < count; i += kLine) __builtin_prefetch(begin + i);
}

// Each window adds its gradient to the pixel that it chose, in the order of the windows.
template <class T>
void scatter_gradient(const MaxPoolBackward& args, const PoolAxes& axes, int n, int first, int count) {
  const Tensor &dx = args.dx, &dy = args.dy;
  const int taps = axes.h.size * axes.w.size;
  ScratchScope scratch;
  const std::int64_t size = std::int64_t{dx.h} * dx.w * kBlockChannels;
  float* const sums = scratch.floats(size);
  std::fill_n(sums, size, 0.0f);
  // Of each tap in `sums`, from its window's corner; behind them, for what is no tap, one that is outside.
  auto* const place = scratch.take<std::int64_t>(taps + 1);
  place[taps] = std::numeric_limits<std::int64_t>::max() / 2;
  for (int tap = 0; tap < taps; ++tap)
    place[tap] = (std::int64_t{tap / axes.w.size} * dx.w + tap % axes.w.size) * kBlockChannels;
  const T* const gradients = pixel_at<T>(dy, n, 0, 0) + first;
  const std::uint16_t* const chosen_taps = args.taps + window_number(dy, n, 0, 0) * dy.c + first;
  const std::int64_t windows = std::int64_t{dy.h} * dy.w;
  for (std::int64_t window = 0; window < windows; ++window) {
    if (window + kWindowsAhead < windows) {
      prefetch(gradients + (window + kWindowsAhead) * dy.pitch, count);
      prefetch(chosen_taps + (window + kWindowsAhead) * dy.c, count);
    }
    const int oy = static_cast<int>(window / dy.w), ox = static_cast<int>(window % dy.w);
    const std::int64_t corner = (std::int64_t{axes.h.start(oy)} * dx.w + axes.w.start(ox)) * kBlockChannels;
    const std::uint16_t* const chosen = chosen_taps + window * dy.c;
    float gradient[kBlockChannels];
    for_channels(count, [&, source = gradients + window * dy.pitch](auto lanes, int c) {
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
      const float* const sum = sums + (std::int64_t{y} * dx.w + x) * kBlockChannels;
      for_channels(count, [&](auto lanes, int c) { put_gradient(lanes, out + c, lanes.get(sum + c), args.mode); });
    }
}

template <class T, bool kTaps>
void maxpool(const MaxPoolForward& args, const PoolAxes& axes) {
  const std::int64_t work = taps_in_all(args.geometry, args.y);
  if (is_small(args.geometry)) {
    for_pixel_rows(args.y, work, [&](int n, int oy) { maxpool_row<T, kTaps>(args, axes, n, oy); });
  } else {
    for_channel_blocks(
        args.y, work, [&](int n, int first, int count) { MaxPoolByRows<T, kTaps>(args, axes, n, first, count).run(); });
  }
}

}  // namespace

void maxpool_forward(const MaxPoolForward& args, Stream) {
  check_args(args);
  const PoolAxes axes = axes_of(args.geometry, args.x, args.y);
  with_f32_or_bf16("maxpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    args.taps != nullptr ? maxpool<T, true>(args, axes) : maxpool<T, false>(args, axes);
  });
}

void maxpool_backward(const MaxPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const PoolAxes axes = axes_of(args.geometry, args.dx, args.dy);
  with_f32_or_bf16("maxpool_backward", args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    if (!is_small(args.geometry)) {
      return for_channel_blocks(args.dx, args.dy.elements() + args.dx.elements(),
                                [&](int n, int first, int count) { scatter_gradient<T>(args, axes, n, first, count); });
    }
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

}  // namespace rook::cpu
