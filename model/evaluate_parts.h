// What the evaluators share with each other and with nobody else.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/evaluate.h"
#include "model/overlap.h"

namespace rook {

// IoU thresholds of COCO, 0.5:0.05:0.95, computed as numpy's linspace does, so that ties fall as in pycocotools.
inline constexpr int kIouThresholds = 10;
constexpr double iou_threshold(int t) {
  return t == kIouThresholds - 1 ? 0.95 : 0.5 + t * ((0.95 - 0.5) / (kIouThresholds - 1));
}

// Throws Error naming the photo when a score or box is not finite or a class is not below `classes`.
void check_results(std::span<const ImageResult> results, std::size_t classes);

// A detection as COCO judges it.
struct JudgedDetection {
  float score = 0;
  std::int32_t image = 0, detection = 0;  // indices into the results
  std::int32_t truth = -1;                // of the photo, that it is matched to at IoU 0.5; -1: none
  std::uint16_t hits = 0;                 // bit t: true positive at iou_threshold(t)
  std::uint16_t ignores = 0;              // bit t: neither true nor false positive there

  bool hit(int t) const { return (hits >> t & 1) != 0; }
  bool ignored(int t) const { return (ignores >> t & 1) != 0; }
};

struct ClassMatches {
  int boxes = 0;
  std::vector<JudgedDetection> detections;  // by falling score; equal ones in the order of photos
};

// COCO's matching (pycocotools, COCOeval.evaluateImg), for each class. Ignored regions are COCO's crowds, of which one
// may hold any number of detections; so may VOC's difficult objects, as in the VOC development kit.
std::vector<ClassMatches> match_coco(std::span<const ImageResult> results, int classes, int max_detections);

// COCO's average precision from precision and recall after each detection, by falling score: the mean, over recall 0,
// 0.01, ..., 1, of the highest precision at that recall or a greater one.
double interpolated_precision(std::vector<double> precision, std::span<const double> recall);

// The average precision of darknet's `detector map` at IoU 0.5, for each class; 0 for a class without boxes.
std::vector<double> darknet_average_precision(std::span<const ImageResult> results, int classes);

}  // namespace rook
