// How much boxes overlap that a model says or a label has, all in shares of the photo.
#pragma once

#include "kernels/box.h"

namespace rook {

// IoU from which two boxes are about the same object: that of the evaluators' mAP50.
inline constexpr double kSamePlace = 0.5;

template <class F>
constexpr Box<F> box_of(const Detection& detection) {
  return {F(detection.x), F(detection.y), F(detection.w), F(detection.h)};
}

// IoU of two of Detection and Truth.
template <class A, class B>
constexpr double overlap_of(const A& a, const B& b) {
  return iou(box_of<double>(a), box_of<double>(b));
}

}  // namespace rook
