// Inverted dropout. Element e counts in the dense order (n, h, w, c), whatever the pitch; its number is word e mod 4 of
// the Philox block with slot = low 32 bits of e / 4, draw = high 32 bits of e / 4, iteration, stream = (dropout,
// layer).
#include "kernels/cpu/spatial_rows.h"
#include "kernels/philox.h"
#include "kernels/spatial.h"
#include "kernels/step.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

constexpr int kDropoutChunk = 256;  // elements whose factors are drawn at a time

// factors[i]: what element first + i is multiplied with, 0 or 1 / (1 - probability). `first` is a multiple of
// kDropoutChunk, so that the upper half of the block's number is the same for all of the chunk.
void draw_factors(const Dropout& args, std::int64_t first, float* factors) {
  const PhiloxKey key = philox_key(args.seed);
  const std::uint64_t block = static_cast<std::uint64_t>(first) / 4;
  const std::uint32_t slot = static_cast<std::uint32_t>(block), draw = static_cast<std::uint32_t>(block >> 32);
  const std::uint32_t stream = philox_stream(PhiloxUse::dropout, args.layer);
  const float probability = args.probability, kept = 1 / (1 - args.probability);
  for (int i = 0; i < kDropoutChunk / 4; ++i) {
    const Uniform4 u =
        philox_uniform(philox(key, {slot + static_cast<std::uint32_t>(i), draw, args.iteration, stream}));
    factors[4 * i] = u.x >= probability ? kept : 0;
    factors[4 * i + 1] = u.y >= probability ? kept : 0;
    factors[4 * i + 2] = u.z >= probability ? kept : 0;
    factors[4 * i + 3] = u.w >= probability ? kept : 0;
  }
}

// A dropped element becomes 0 even when it is infinite or NaN.
template <class T>
void apply(const T* in, T* out, const float* factors, int count, Grad mode) {
  for_channels(count, [&](auto lanes, int c) {
    const Vec factor = lanes.get(factors + c);
    put_gradient(lanes, out + c, factor > 0 ? lanes.get(in + c) * factor : Vec{}, mode);
  });
}

}  // namespace

void dropout(const Dropout& given, Stream) {
  const Dropout args = with_step(given);
  check_args(args);
  if (args.mode == Grad::none) return;
  const std::int64_t elements = args.x.elements();
  // Dense tensors are one long pixel.
  const std::int64_t c = args.x.dense() && args.y.dense() ? elements : args.x.c;
  with_f32_or_bf16("dropout", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    parallel_for(divide_up(elements, kDropoutChunk), elements, [&](std::int64_t chunk) {
      const std::int64_t first = chunk * kDropoutChunk, end = std::min(elements, first + kDropoutChunk);
      float factors[kDropoutChunk];
      draw_factors(args, first, factors);
      for (std::int64_t e = first; e < end;) {
        const std::int64_t pixel = e / c, channel = e % c;
        const int count = static_cast<int>(std::min(c - channel, end - e));
        apply(args.x.template as<T>() + pixel * args.x.pitch + channel,
              args.y.template as<T>() + pixel * args.y.pitch + channel, factors + (e - first), count, args.mode);
        e += count;
      }
    });
  });
}

}  // namespace rook::cpu
