// Assignment of truths to anchor cells, and the loss's workspace.
#include <algorithm>
#include <tuple>

#include "kernels/carve.h"
#include "kernels/cpu/yolo_loss.h"

namespace rook::cpu {
namespace {

// The anchor of the table with the truth's shape; the first of equals.
int best_anchor(const YoloLoss& args, const Box<double>& truth) {
  const LossHead& first = args.heads[0];
  bool used[kMaxAnchors] = {};
  for (const LossHead& head : args.heads) {
    for (int a = 0; a < head.head.anchors; ++a) used[head.head.mask[a]] = true;
  }
  int best = 0;
  double best_iou = -1;
  for (int n = 0; n < first.head.total_anchors; ++n) {
    if (args.mode == LossMode::fixed && !used[n]) continue;
    const Box<double> shape =
        anchor_shape<double>(first.head, n, first.logits.w, first.logits.h, args.net_w, args.net_h);
    const double fit = shape_iou(shape, truth);
    if (fit > best_iou) {
      best_iou = fit;
      best = n;
    }
  }
  return best;
}

// Another anchor than the best that fits the truth well enough (iou_thresh).
bool fits(const YoloLoss& args, const LossHead& head, int anchor, const Box<double>& truth) {
  if (!(head.params.iou_thresh < 1)) return false;
  const Box<double> shape =
      anchor_shape<double>(head.head, anchor, head.logits.w, head.logits.h, args.net_w, args.net_h);
  return iou_value(head.params.iou_thresh_kind, shape, Box<double>{0, 0, truth.w, truth.h}) > head.params.iou_thresh;
}

}  // namespace

LossWorkspace::LossWorkspace(const YoloLoss& args, void* base) {
  const std::int64_t images = args.heads[0].logits.n, heads = static_cast<std::int64_t>(args.heads.size());
  std::int64_t anchors = 0;
  for (const LossHead& head : args.heads) anchors += head.head.anchors;
  matches_per_image = args.max_truths * anchors;
  Carver carver(base);
  sums = carver.take<LossSums>(images * heads);
  matches = carver.take<Match>(images * matches_per_image);
  match_counts = carver.take<std::int32_t>(images);
  unmatched = carver.take<std::int32_t>(images);
  bytes = carver.bytes();
}

std::span<const Truth> truths_of(const YoloLoss& args, int image) {
  const Truth* first = args.truths + std::int64_t{image} * args.max_truths;
  std::int32_t count = args.truth_counts[image];
  if (args.mode == LossMode::darknet) {
    count =
        static_cast<std::int32_t>(std::find_if(first, first + count, [](const Truth& t) { return t.x == 0; }) - first);
  }
  return {first, static_cast<std::size_t>(count)};
}

void match_truths(const YoloLoss& args, int image, LossWorkspace& workspace) {
  Match* const first = workspace.matches + image * workspace.matches_per_image;
  Match* end = first;
  const std::span<const Truth> truths = truths_of(args, image);
  std::int32_t unmatched = args.truth_counts[image] - static_cast<std::int32_t>(truths.size());
  for (std::int32_t t = 0; t < static_cast<std::int32_t>(truths.size()); ++t) {
    const Truth& truth = truths[static_cast<std::size_t>(t)];
    const Match* const before = end;
    if (is_usable(truth, args.heads[0].head.classes)) {
      const Box<double> box = box_of<double>(truth);
      const int best = best_anchor(args, box);
      for (std::int32_t h = 0; h < static_cast<std::int32_t>(args.heads.size()); ++h) {
        const LossHead& head = args.heads[static_cast<std::size_t>(h)];
        const int cell = cell_of(truth.y, head.logits.h) * head.logits.w + cell_of(truth.x, head.logits.w);
        for (int a = 0; a < head.head.anchors; ++a) {
          const int n = head.head.mask[a];
          if (n == best || fits(args, head, n, box)) *end++ = {h, cell * head.head.anchors + a, t};
        }
      }
    }
    unmatched += end == before;
  }
  std::sort(first, end, [](const Match& a, const Match& b) {
    return std::tie(a.head, a.slot, a.truth) < std::tie(b.head, b.slot, b.truth);
  });
  workspace.match_counts[image] = static_cast<std::int32_t>(end - first);
  workspace.unmatched[image] = unmatched;
}

std::vector<Match> assignments(const YoloLoss& args, int image) {
  if (args.mode == LossMode::darknet && args.heads[0].head.kind == HeadKind::region) {
    std::vector<Match> matches;
    const std::span<const Truth> truths = truths_of(args, image);
    for (std::size_t t = 0; t < truths.size(); ++t) {
      if (!is_usable(truths[t], args.heads[0].head.classes)) continue;
      matches.push_back({0, region_slot(args, image, truths[t]), static_cast<std::int32_t>(t)});
    }
    std::sort(matches.begin(), matches.end(),
              [](const Match& a, const Match& b) { return std::tie(a.slot, a.truth) < std::tie(b.slot, b.truth); });
    return matches;
  }
  std::vector<std::byte> memory(LossWorkspace(args, nullptr).bytes);
  LossWorkspace workspace(args, memory.data());
  match_truths(args, image, workspace);
  const Match* const first = workspace.matches + image * workspace.matches_per_image;
  return {first, first + workspace.match_counts[image]};
}

std::span<const Match> matches_of_head(const YoloLoss&, const LossWorkspace& workspace, int image, int head) {
  const Match* first = workspace.matches + image * workspace.matches_per_image;
  const Match* end = first + workspace.match_counts[image];
  first = std::find_if(first, end, [head](const Match& m) { return m.head == head; });
  end = std::find_if(first, end, [head](const Match& m) { return m.head != head; });
  return {first, end};
}

std::int64_t count_unmatched(const YoloLoss& args, std::span<const Match> matches, int image) {
  ScratchScope scratch;
  const std::int64_t count = args.truth_counts[image];
  bool* taken = scratch.take<bool>(count);
  std::fill_n(taken, count, false);
  for (const Match& match : matches) taken[match.truth] = true;
  return std::count(taken, taken + count, false);
}

CellDecoder<double> decoder_of(const YoloLoss& args, const LossHead& head, int slot) {
  const int cell = slot / head.head.anchors;
  CellDecoder<double> decoder =
      cell_decoder<double>(head.head, slot % head.head.anchors, head.logits.w, head.logits.h, args.net_w, args.net_h);
  decoder.col = cell % head.logits.w;
  decoder.row = cell / head.logits.w;
  return decoder;
}

}  // namespace rook::cpu
