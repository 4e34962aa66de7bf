// How much boxes overlap that a model says or a label has, all in shares of the photo.
#pragma once

#include <algorithm>
#include <span>

#include "io/dataset.h"
#include "kernels/box.h"

namespace rook {

// IoU from which two boxes are about the same object: that of the evaluators' mAP50.
inline constexpr double kSamePlace = 0.5;

template <class F>
constexpr Box<F> box_of(const Detection& detection) {
  return {F(detection.x), F(detection.y), F(detection.w), F(detection.h)};
}

// The share of a box that lies in another.
constexpr double share_inside(const Box<double>& box, const Box<double>& other) {
  const double w = overlap(box.x, box.w, other.x, other.w), h = overlap(box.y, box.h, other.y, other.h);
  return w > 0 && h > 0 ? w * h / (box.w * box.h) : 0;
}

// IoU of two of Detection and Truth.
template <class A, class B>
constexpr double overlap_of(const A& a, const B& b) {
  return iou(box_of<double>(a), box_of<double>(b));
}

// How far a detection lies in an ignored region of its class: of a crowd its share inside, else the IoU.
inline double ignored_overlap(const Detection& detection, std::span<const io::IgnoredRegion> ignored) {
  const auto box = box_of<double>(detection);
  double most = 0;
  for (const io::IgnoredRegion& region : ignored) {
    if (region.cls != detection.cls) continue;
    const Box<double> there{region.x, region.y, region.w, region.h};
    most = std::max(most, region.crowd ? share_inside(box, there) : iou(box, there));
  }
  return most;
}

}  // namespace rook
