// Assignment of truths to anchor cells (darknet.md 6.2, 6.6), in double so that every device decides alike. A thread
// per truth and head; what truths share an anchor cell is found later, in their order.
#include "kernels/shared.cuh"
#include "kernels/yolo_loss.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kMatchThreads = 128;

struct MatchShared {
  WarpResults<int> ints;
};

// The anchor of the table with the truth's shape; the first of equals. Fixed mode: among those that a head uses;
// darknet mode: among all, so that a truth may be lost.
__device__ int best_anchor(const LossCall& call, const Box<double>& truth) {
  const LossHead& first = call.heads[0];
  int best = 0;
  double best_iou = -1;
  for (int n = 0; n < first.head.total_anchors; ++n) {
    if (call.args.mode == LossMode::fixed && (call.used_anchors >> n & 1) == 0) continue;
    const double fit = shape_iou(
        anchor_shape<double>(first.head, n, first.logits.w, first.logits.h, call.args.net_w, call.args.net_h), truth);
    if (fit > best_iou) {
      best_iou = fit;
      best = n;
    }
  }
  return best;
}

// Another anchor than the best that fits the truth well enough (iou_thresh).
__device__ bool also_fits(const LossCall& call, const LossHead& head, int anchor, const Box<double>& truth) {
  if (!(head.params.iou_thresh < 1)) return false;
  const Box<double> shape =
      anchor_shape<double>(head.head, anchor, head.logits.w, head.logits.h, call.args.net_w, call.args.net_h);
  return iou_value(head.params.iou_thresh_kind, shape, Box<double>{0, 0, truth.w, truth.h}) > head.params.iou_thresh;
}

__device__ std::uint32_t fitting_anchors(const LossCall& call, const LossHead& head, const Box<double>& truth) {
  const int best = best_anchor(call, truth);
  std::uint32_t anchors = 0;
  for (int a = 0; a < head.head.anchors; ++a) {
    const int n = head.head.mask[a];
    if (n == best || also_fits(call, head, n, truth)) anchors |= 1u << a;
  }
  return anchors;
}

// darknet's region: the anchor of the cell whose box (bias_match: whose prior) has the truth's shape; anchor 0 where
// none overlaps.
__device__ std::uint32_t region_anchor(const LossCall& call, const LossHead& head, int image, int cell,
                                       const Box<double>& truth) {
  int best = 0;
  double best_iou = 0;
  for (int a = 0; a < head.head.anchors; ++a) {
    const LossSlot slot = loss_slot(head, 0, image, cell * head.head.anchors + a);
    const CellDecoder<double> decoder = decoder_of<double>(call.args, head, slot.index);
    Box<double> shape{0, 0, decoder.anchor_w, decoder.anchor_h};
    if (!head.params.bias_match) shape = decoder.decode(box_outputs<double>(slot.output));
    const double fit = shape_iou(shape, truth);
    if (fit > best_iou) {
      best_iou = fit;
      best = a;
    }
  }
  return 1u << best;
}

__device__ Assigned assign(const LossCall& call, const LossHead& head, int image, const Truth& truth) {
  if (!is_usable(truth, head.head.classes)) return {-1, 0};
  const Box<double> box = box_of<double>(truth);
  const int cell = cell_of(truth.y, head.logits.h) * head.logits.w + cell_of(truth.x, head.logits.w);
  const bool by_prediction = call.args.mode == LossMode::darknet && head.head.kind == HeadKind::region;
  const std::uint32_t anchors =
      by_prediction ? region_anchor(call, head, image, cell, box) : fitting_anchors(call, head, box);
  return {anchors != 0 ? cell : -1, anchors};
}

// Block (head, image).
__global__ void __launch_bounds__(kMatchThreads, 1) match_kernel(const __grid_constant__ LossCall call) {
  auto& s = block_shared<MatchShared>();
  const int h = static_cast<int>(blockIdx.x), image = static_cast<int>(blockIdx.y);
  const int count = given_truths(call, image), first = static_cast<int>(threadIdx.x);
  const Truth* truths = truths_at(call, image);
  int listed = count;  // the first truth with x == 0 ends darknet's list
#pragma unroll 1
  for (int t = first; call.args.mode == LossMode::darknet && t < count; t += kMatchThreads) {
    if (truths[t].x == 0 && t < listed) listed = t;
  }
  listed = block_reduce<Min>(listed, s.ints, count);
  Assigned* assigned = assigned_at(call, image, h);
  int positives = 0, unmatched = 0;
#pragma unroll 1
  for (int t = first; t < count; t += kMatchThreads) {
    const Assigned here = t < listed ? assign(call, call.heads[h], image, truths[t]) : Assigned{-1, 0};
    assigned[t] = here;
    positives += __popc(here.anchors);
    unmatched += here.anchors == 0;
  }
  positives = block_sum(positives, s.ints);
  unmatched = block_sum(unmatched, s.ints);
  if (threadIdx.x == 0) {
    call.counts[image * call.head_count + h] = {positives, unmatched};
    if (h == 0) call.listed[image] = listed;
  }
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- launcher

void match_truths(const LossCall& call, const LaunchSite& site) {
  const unsigned heads = static_cast<unsigned>(call.head_count), images = static_cast<unsigned>(call.images);
  launch(site, {.blocks = {heads, images}, .threads = kMatchThreads}, match_kernel, call);
}

}  // namespace rook::ROOK_GPU
