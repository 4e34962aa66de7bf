// Augmentation of a batch. Every block draws the plan of its image itself (kernels/augment_plan.h: Philox and a few
// dozen operations in double), so that nothing comes from the host and a captured graph draws anew in each iteration.
// Pixels: bilinear in the photo, two rows first, then two columns, then darknet's change of colour. Truths: one warp
// per image moves them with the pixels and closes the gaps in their order.
#include "kernels/augment_math.h"
#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"
#include "kernels/step.h"

namespace rook::ROOK_GPU {
namespace {

constexpr int kAcross = 32, kDown = 8;  // threads of a block
constexpr int kRows = 32;               // of the output that share the work of drawing a plan

// Patch p of the output by thread p; ends with a barrier.
__device__ __forceinline__ const AugmentPlan& draw_plan(const Augment& args, int output, int thread) {
  auto& plan = block_shared<AugmentPlan>();
  if (thread < 4) {
    const int patches = count_patches(args, output);
    if (thread == 0) plan.patches = patches;
    if (thread < patches) plan.patch[thread] = plan_patch(args, output, patches, thread);
  }
  __syncthreads();
  return plan;
}

struct Truncate {
  __device__ __forceinline__ float operator()(float x) const { return static_cast<float>(static_cast<int>(x)); }
};

struct Colour {
  float r, g, b;
};

// The three bytes at `left` of `above` and of `below`, the photo's rows, and those of the pixel to their right.
__device__ __forceinline__ float sample_channel(const std::uint8_t* above, const std::uint8_t* below, int left,
                                                int right, float down, float across) {
  const float a0 = above[left], a1 = above[right], b0 = below[left], b1 = below[right];
  const float l = a0 + down * (b0 - a0), r = a1 + down * (b1 - a1);
  return l + across * (r - l);
}

__device__ __forceinline__ Colour sample(const CachedImage& photo, const AugmentTap& y, const AugmentTap& x) {
  const std::int64_t stride = std::int64_t{photo.width} * 3;
  const std::uint8_t* above = photo.pixels + y.index * stride;
  const std::uint8_t* below = y.index + 1 < photo.height ? above + stride : above;
  const int left = 3 * x.index, right = x.index + 1 < photo.width ? left + 3 : left;
  return {sample_channel(above, below, left, right, y.weight, x.weight),
          sample_channel(above, below, left + 1, right + 1, y.weight, x.weight),
          sample_channel(above, below, left + 2, right + 2, y.weight, x.weight)};
}

// Colour 0..255 of an output pixel.
__device__ __forceinline__ Colour patch_pixel(const AugmentPatch& patch, const CachedImage& photo, int row,
                                              int column) {
  const bool seen = row >= patch.seen_y0 && row < patch.seen_y1 && column >= patch.seen_x0 && column < patch.seen_x1;
  if (!seen) return {kAugmentGrey, kAugmentGrey, kAugmentGrey};
  Colour colour = sample(photo, augment_tap(patch.offset_y + patch.scale_y * (row + 0.5), photo.height),
                         augment_tap(patch.offset_x + patch.scale_x * (column + 0.5), photo.width));
  if (patch.recolours()) ColourChange<float, Truncate>(patch, {}).apply(colour.r, colour.g, colour.b);
  return colour;
}

// y [N,H,W,3]; blocks: bands of rows, outputs
template <class T>
__global__ void __launch_bounds__((kAcross * kDown), 3) augment_kernel(Augment given) {
  const Augment args = with_step(given);
  const int output = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.y * kAcross + threadIdx.x);
  const AugmentPlan& plan = draw_plan(args, output, thread);
  const int top = static_cast<int>(blockIdx.x) * kRows, bottom = min(top + kRows, args.y.h);
  for (int row = top + static_cast<int>(threadIdx.y); row < bottom; row += kDown) {
    for (int column = static_cast<int>(threadIdx.x); column < args.y.w; column += kAcross) {
      // The corner of the first patch is the cut; the only patch covers all.
      const int p = (column >= plan.patch[0].x1 ? 1 : 0) + (row >= plan.patch[0].y1 ? 2 : 0);
      const AugmentPatch& patch = plan.patch[p];
      const Colour colour = patch_pixel(patch, args.images.data()[patch.image], row, column);
      T* out =
          static_cast<T*>(args.y.data) + ((std::int64_t{output} * args.y.h + row) * args.y.w + column) * args.y.pitch;
      out[0] = from_float<T>(colour.r / 255);
      out[1] = from_float<T>(colour.g / 255);
      out[2] = from_float<T>(colour.b / 255);
    }
  }
}

// truths [N, max_truths], truth_counts [N]; a warp per output
__global__ void __launch_bounds__(kWarp) augment_truths_kernel(Augment given) {
  const Augment args = with_step(given);
  const int output = static_cast<int>(blockIdx.x);
  const AugmentPlan& plan = draw_plan(args, output, lane());
  Truth* truths = args.truths + std::int64_t{output} * args.max_truths;
  int count = 0;
  for (int p = 0; p < plan.patches; ++p) {
    const CachedImage& photo = args.images.data()[plan.patch[p].image];
    for (int first = 0; first < photo.truth_count; first += kWarp) {
      const int t = first + lane();
      Truth placed{};
      const bool keep = t < photo.truth_count && place_truth(args, plan.patch[p], photo, photo.truths[t], placed);
      const unsigned kept = __ballot_sync(kFullMask, keep);
      const int place = count + __popc(kept & ((1u << lane()) - 1));
      if (keep && place < args.max_truths) truths[place] = placed;
      count += __popc(kept);
    }
  }
  if (lane() == 0) args.truth_counts[output] = min(count, args.max_truths);
}

}  // namespace

void augment(const Augment& args, Stream stream) {
  check_augment(args);  // not the lists, which are in the device's memory
  if (args.y.n == 0) return;
  const auto outputs = static_cast<unsigned>(args.y.n);
  if (outputs > 65535) throw Error(fmt::format("augment: {} outputs are more than a grid counts", outputs));
  launch(stream, {.blocks = outputs, .threads = kWarp}, augment_truths_kernel, args);
  with_storage("augment", args.y.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(stream, {.blocks = dim3(blocks_for(args.y.h, kRows, args.y.h), outputs), .threads = dim3(kAcross, kDown)},
           augment_kernel<T>, args);
  });
}

}  // namespace rook::ROOK_GPU
