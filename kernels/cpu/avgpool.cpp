// Mean over windows, and over the image.
#include "kernels/cpu/pool_gather.h"
#include "kernels/spatial.h"
#include "kernels/storage.h"

namespace rook::cpu {

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
