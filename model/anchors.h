// Anchors for a data set: the shapes of its boxes, clustered by overlap (Redmon and Farhadi 2017, "YOLO9000", 2;
// darknet's calc_anchors, darknet.md 8.10).
#pragma once

#include <cstdint>
#include <span>
#include <string>
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

// How well anchors fit the shapes; those that no head uses (0 in `used`, which may be empty) fit nothing. Throws Error
// when there are no shapes or anchors.
AnchorFit measure_anchors(std::span<const BoxShape> shapes, std::vector<BoxShape> anchors,
                          std::span<const char> used = {});

// `count` anchors that fit the shapes, by rising area: k-means with 1 - IoU as distance, then small steps of each side
// as long as the mean IoU rises; the best of ten starts. The same shapes and seed give the same anchors. Of more than
// 5,000 shapes that many, evenly chosen, are fitted to; all are measured. Throws Error when there are fewer different
// shapes than that.
AnchorFit fit_anchors(std::span<const BoxShape> shapes, int count, std::uint64_t seed = 1);

// The cfg's table of anchors, and which of them heads use. Throws Error for a network without [yolo] heads.
std::vector<BoxShape> anchors_of(const Network& network);
std::vector<char> used_anchors(const Network& network);

// The table with each head's anchors fitted to the boxes that are its own by now (whose best anchor is one of its); a
// head with fewer than ten boxes an anchor keeps them, and so do anchors that no head uses. Which boxes a head learns
// stays as it is: that belongs to how far apart its cells are.
AnchorFit fit_heads(std::span<const BoxShape> shapes, const Network& network, std::uint64_t seed = 1);

// As a cfg has them: "10.0,14.0, 23.0,27.0".
std::string to_text(std::span<const BoxShape> anchors);
// Puts `anchors` in place of the table of every head. As many as there were: masks stay as they are. Throws Error
// otherwise.
void set_anchors(io::Cfg& cfg, std::span<const BoxShape> anchors);

}  // namespace rook
