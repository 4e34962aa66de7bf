#include "model/inspect_claims.h"

#include <algorithm>

#include "kernels/cpu/yolo_loss.h"
#include "model/train_step.h"

namespace rook {
namespace {

Box<double> box_of(const Detection& d) {
  return {d.x, d.y, d.w, d.h};
}

Claim claim_of(const cpu::Match& match, std::span<const LossHead> heads, std::span<const HeadCells> cells,
               std::span<const Truth> truths, int net_w, int net_h) {
  const HeadSpec& spec = heads[static_cast<std::size_t>(match.head)].head;
  const HeadCells& grid = cells[static_cast<std::size_t>(match.head)];
  const int cell = match.slot / spec.anchors;
  Claim claim{.truth = match.truth,
              .head = match.head,
              .column = cell % grid.columns,
              .row = cell / grid.columns,
              .anchor = match.slot % spec.anchors};
  const Box<double> truth = rook::box_of<double>(truths[static_cast<std::size_t>(match.truth)]);
  const Detection& said = grid.at(claim.column, claim.row, claim.anchor);
  claim.shape_overlap =
      shape_iou(anchor_shape<double>(spec, spec.mask[claim.anchor], grid.columns, grid.rows, net_w, net_h), truth);
  claim.objectness = said.objectness;
  claim.overlap = iou(box_of(said), truth);
  claim.cls = said.cls;
  return claim;
}

}  // namespace

std::vector<Claim> claims_of(const Network& network, const TrainConfig& config, std::span<const HeadCells> cells,
                             std::span<const Truth> truths, int net_w, int net_h) {
  if (truths.empty() || network.heads.empty()) return {};
  std::vector<LossHead> heads;
  for (std::size_t h = 0; h < network.heads.size(); ++h) {
    const Head& head = network.heads[h];
    float* const logits = const_cast<float*>(cells[h].logits.data());  // only read
    heads.push_back({.head = head.spec,
                     .params = loss_params(head, config),
                     .logits = make_tensor(logits, DType::f32, 1, cells[h].rows, cells[h].columns,
                                           head.spec.anchors * head.spec.entries()),
                     .dlogits = {}});
  }
  const std::int32_t count = std::min(static_cast<std::int32_t>(truths.size()), config.max_truths);
  const YoloLoss loss{.mode = config.loss,
                      .heads = heads,
                      .truths = truths.data(),
                      .truth_counts = &count,
                      .max_truths = count,
                      .net_w = net_w,
                      .net_h = net_h};
  std::vector<Claim> claims;
  for (const cpu::Match& match : cpu::assignments(loss, 0))
    claims.push_back(claim_of(match, heads, cells, truths, net_w, net_h));
  return claims;
}

}  // namespace rook
