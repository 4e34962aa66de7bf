// Pieces that the modes of the CPU's detection loss share: the workspace, assignment of truths, and one anchor's cells
// of one image decoded into arrays. Images are independent; each is done by one thread, and sums are added in image
// order.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/box.h"
#include "kernels/cpu/scratch.h"
#include "kernels/loss_parts.h"

namespace rook::cpu {

// Truth `truth` is to be found by the anchor cell `slot` of head `head` ((row * grid_w + column) * A + anchor).
struct Match {
  std::int32_t head, slot, truth;
};

// Views into YoloLoss::workspace. With a null base only `bytes` is of use.
struct LossWorkspace {
  LossWorkspace(const YoloLoss& args, void* base);

  Match* matches = nullptr;              // [N, matches_per_image] by head, slot, truth
  std::int32_t* match_counts = nullptr;  // [N]
  std::int32_t* unmatched = nullptr;     // [N] truths that no head took
  LossSums* sums = nullptr;              // [N, heads]
  std::int64_t matches_per_image = 0;
  std::size_t bytes = 0;
};

// Assigns the truths of an image to anchor cells, in double so that every device decides alike. Fixed mode: the best
// anchor among those that a head uses; darknet mode: among all of the table, so that a truth may be lost.
void match_truths(const YoloLoss& args, int image, LossWorkspace& workspace);

// darknet mode of a region head: the slot of the truth's cell whose box (bias_match: whose prior) has the truth's
// shape; its anchor 0 where none overlaps.
int region_slot(const YoloLoss& args, int image, const Truth& truth);

// What the loss assigns in an image, by head, slot, truth, for people to look at. Of the logits only the shape counts,
// but in darknet mode of a region head, which reads them from the host's memory. Needs no workspace.
std::vector<Match> assignments(const YoloLoss& args, int image);

// The matches of one head of an image, and the number of truths without one.
std::span<const Match> matches_of_head(const YoloLoss& args, const LossWorkspace& workspace, int image, int head);
std::int64_t count_unmatched(const YoloLoss& args, std::span<const Match> matches, int image);

// The truths of an image; in darknet mode up to the first with x == 0, which ends darknet's list.
std::span<const Truth> truths_of(const YoloLoss& args, int image);

// The objectness output and the decoded box of one anchor in every cell of an image, as arrays of `cells` (and room up
// to a multiple of kLanes, which is 0).
struct AnchorPlane {
  AnchorPlane(ScratchScope& scratch, int cell_count);

  int cells, padded;
  float* output;                       // objectness, as the network puts it out
  float* objectness;                   // activated
  float *left, *top, *right, *bottom;  // box, relative to the image
  float* area;
  float* best_iou;  // with any truth

  void decode(const LossHead& head, int image, int anchor, int net_w, int net_h);
  void match(std::span<const Truth> truths, int classes);

 private:
  float* t_[4];  // outputs of the box
};

// The outputs of one anchor cell.
inline const float* outputs_of(const LossHead& head, int image, int slot) {
  const Tensor& t = head.logits;
  const std::int64_t pixel = std::int64_t{image} * t.h * t.w + slot / head.head.anchors;
  return t.as<const float>() + pixel * t.pitch + slot % head.head.anchors * head.head.entries();
}

// The decoder of one anchor cell, in double.
CellDecoder<double> decoder_of(const YoloLoss& args, const LossHead& head, int slot);

// The loss and dlogits of one image: fixed mode, or the deltas of darknet.
void fixed_image(const YoloLoss& args, LossWorkspace& workspace, int image, double scale);
void darknet_image(const YoloLoss& args, LossWorkspace& workspace, int image);
void region_image(const YoloLoss& args, LossWorkspace& workspace, int image);

// dlogits = factor * delta for all anchor cells of an image; delta [slots, entries]. Adds the squares to sums.
void write_deltas(const LossHead& head, int image, const float* delta, double factor, LossSums& sums);

}  // namespace rook::cpu
