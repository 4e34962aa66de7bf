// Anchors for a data set: the shapes of its boxes, clustered by overlap (Redmon and Farhadi 2017, "YOLO9000", 2;
// darknet's calc_anchors, darknet.md 8.10).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/dataset.h"
#include "model/network.h"
#include "model/preprocess.h"

namespace rook {

// Width and height in pixels of the network's input.
struct BoxShape {
  double w = 0, h = 0;
  bool operator==(const BoxShape&) const = default;
};

// Of all boxes of a split, as the network sees them.
std::vector<BoxShape> box_shapes(const io::Split& split, int net_w, int net_h, Fit fit);

struct AnchorFit {
  std::vector<BoxShape> anchors;
  std::vector<std::int64_t> boxes;  // whose best one it is, of each anchor
  double mean_iou = 0;              // of boxes with their best anchor, as if both had one centre
  double poor = 0;                  // share of boxes with less than 0.5
};

// How well anchors fit the shapes. Throws Error when there are none of either.
AnchorFit measure_anchors(std::span<const BoxShape> shapes, std::vector<BoxShape> anchors);

// `count` anchors that fit the shapes, by rising area: k-means with 1 - IoU as distance, then small steps of each side
// as long as the mean IoU rises; the best of ten starts. The same shapes and seed give the same anchors. Of more than
// 5,000 shapes that many, evenly chosen, are fitted to; all are measured. Throws Error when there are fewer different
// shapes than that.
AnchorFit fit_anchors(std::span<const BoxShape> shapes, int count, std::uint64_t seed = 1);

// The anchors that the network's heads use, by index in the cfg's table; throws Error for a network without [yolo]
// heads.
std::vector<BoxShape> anchors_of(const Network& network);
// Puts `anchors` in place of the table of every head. As many as there were: masks stay as they are. Throws Error
// otherwise.
void set_anchors(io::Cfg& cfg, std::span<const BoxShape> anchors);

}  // namespace rook
