// Pieces that the modes of the detection loss share on a GPU: the arguments as kernels get them, assigned truths, and
// the outputs of an anchor cell. The loss takes four steps: kernels/loss_match.cu assigns truths, one of yolo_loss.cu,
// yolo_loss_darknet.cu and region_loss.cu does the anchor cells tile by tile (kernels/loss_tile.cuh), and
// kernels/loss_sum.cu adds up.
#pragma once

#include "kernels/box.h"
#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/loss_parts.h"

namespace rook::ROOK_GPU {

// What a truth takes under one head: these anchors of one cell (bit a: anchor a of the mask); none: {-1, 0}.
struct Assigned {
  std::int32_t cell;
  std::uint32_t anchors;
};
static_assert(kMaxAnchors <= 32);

struct AssignedCount {
  std::int32_t positives, unmatched;  // anchor cells that truths took; truths without one
};

inline constexpr int kLossThreads = 256;
inline constexpr int kLossWarps = kLossThreads / kWarp;

// Anchor cells are done in tiles of whole pixels, one thread each.
inline int pixels_of_tile(const LossHead& head) {
  return kLossThreads / head.head.anchors;
}

// The arguments, and views into the workspace.
struct LossCall {
  YoloLoss args;  // `heads` is of the host
  LossHead heads[kMaxHeads];
  int head_count, images;
  std::uint32_t used_anchors;          // of the table: those that a head uses
  int tile_pixels[kMaxHeads];          // pixels of a tile of each head
  int tiles[kMaxHeads];                // tiles of an image
  unsigned first_tile[kMaxHeads + 1];  // first block of each head: [images, tiles]

  Assigned* assigned;     // [N, heads, max_truths]
  AssignedCount* counts;  // [N, heads]
  std::int32_t* listed;   // [N] truths before the end of the list
  std::int32_t* lost;     // [N] truths that no head took
  unsigned* open;         // [first_tile[heads], kLossWarps] bits of the cells that are not mere background
  float* best_iou;        // [first_tile[heads], kLossThreads] of those, with any truth
  LossSums* partial;      // [first_tile[heads]]
  LossSums* sums;         // [N, heads]
  LossSums* totals;       // [heads]
  std::size_t bytes;
};

// The steps. Dynamic shared memory of the tiles is a row of classes per working warp.
void match_truths(const LossCall& call, const LaunchSite& site);
void fixed_tiles(const LossCall& call, const LaunchSite& site);
void darknet_tiles(const LossCall& call, const LaunchSite& site);
void region_tiles(const LossCall& call, const LaunchSite& site);
void sum_tiles(const LossCall& call, const LaunchSite& site);

// ---- for kernels

// Truths of an image. A count that is out of range cannot be refused here, so it is limited.
__device__ __forceinline__ int given_truths(const LossCall& call, int image) {
  const int count = call.args.truth_counts[image];
  return count < 0 ? 0 : count < call.args.max_truths ? count : call.args.max_truths;
}
__device__ __forceinline__ const Truth* truths_at(const LossCall& call, int image) {
  return call.args.truths + std::int64_t{image} * call.args.max_truths;
}
__device__ __forceinline__ Assigned* assigned_at(const LossCall& call, int image, int head) {
  return call.assigned + (std::int64_t{image} * call.head_count + head) * call.args.max_truths;
}

// An anchor cell of an image: `index` is (row * grid_w + column) * A + anchor.
struct LossSlot {
  int head, image, index;
  const float* output;    // [entries]
  std::int64_t gradient;  // place of its entry 0 in dlogits
};

__device__ __forceinline__ LossSlot loss_slot(const LossHead& head, int head_index, int image, int index) {
  const int cell = index / head.head.anchors, entry = (index - cell * head.head.anchors) * head.head.entries();
  const std::int64_t pixel = std::int64_t{image} * head.logits.h * head.logits.w + cell;
  return {head_index, image, index, static_cast<const float*>(head.logits.data) + pixel * head.logits.pitch + entry,
          pixel * head.dlogits.pitch + entry};
}

template <class F>
__device__ __forceinline__ CellDecoder<F> decoder_of(const YoloLoss& args, const LossHead& head, int slot) {
  const int cell = slot / head.head.anchors;
  CellDecoder<F> decoder =
      cell_decoder<F>(head.head, slot - cell * head.head.anchors, head.logits.w, head.logits.h, args.net_w, args.net_h);
  decoder.col = F(cell % head.logits.w);
  decoder.row = F(cell / head.logits.w);
  return decoder;
}

template <class F>
__device__ __forceinline__ Box<F> box_outputs(const float* output) {
  return {F(output[0]), F(output[1]), F(output[2]), F(output[3])};
}

__device__ __forceinline__ float activated(const HeadSpec& head, float output) {
  return head.new_coords ? output : sigmoid(output);
}

__device__ __forceinline__ void put(const Tensor& dlogits, std::int64_t i, float value) {
  if (dlogits.dtype == DType::f32) {
    static_cast<float*>(dlogits.data)[i] = value;
  } else {
    static_cast<__nv_bfloat16*>(dlogits.data)[i] = from_float<__nv_bfloat16>(value);
  }
}

// Calls visit(truth) for the truths that took this anchor cell, in their order, in all lanes of a full warp.
template <class Visit>
__device__ __forceinline__ void for_each_match(const LossCall& call, const LossSlot& slot, Visit visit) {
  const Assigned* assigned = assigned_at(call, slot.image, slot.head);
  const int anchors = call.heads[slot.head].head.anchors, cell = slot.index / anchors;
  const std::uint32_t bit = 1u << (slot.index - cell * anchors);
  const int listed = call.listed[slot.image];
  for (int first = 0; first < listed; first += kWarp) {
    const int t = first + lane();
    const bool takes = t < listed && assigned[t].cell == cell && (assigned[t].anchors & bit) != 0;
    for (unsigned left = __ballot_sync(kFullMask, takes); left != 0; left &= left - 1) visit(first + __ffs(left) - 1);
  }
}

}  // namespace rook::ROOK_GPU
