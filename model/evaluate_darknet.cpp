// Average precision as darknet's `detector map` computes it by default, -points 0 (darknet.md 9). It differs from
// COCO's:
//  - a detection is for the truth it overlaps most, free or not; a later one for the same truth is false, even where
//    another truth would be free;
//  - IoU must exceed 0.5, in float;
//  - no limit on detections a photo;
//  - area under the precision-recall curve instead of 101 points.
#include <algorithm>
#include <cstddef>

#include "model/evaluate_parts.h"

namespace rook {
namespace {

constexpr float kIouThreshold = 0.5f;

struct ScoredClaim {
  float score = 0;
  std::int64_t truth = -1;  // counted over all photos; -1: overlaps none
};

// The truth of the detection's class that it overlaps most, -1 if none enough. The first of equal ones.
std::int64_t claimed_truth(const Detection& detection, const std::vector<Truth>& truths) {
  std::int64_t claimed = -1;
  float best = kIouThreshold;
  for (std::size_t i = 0; i < truths.size(); ++i) {
    if (truths[i].cls != detection.cls) continue;
    const float overlap = iou(box_of<float>(detection), box_of<float>(truths[i]));
    if (!(overlap > best)) continue;
    best = overlap;
    claimed = static_cast<std::int64_t>(i);
  }
  return claimed;
}

// Area under the curve whose precision is the highest at that recall or a greater one. `claims` by falling score.
double area_under_curve(const std::vector<ScoredClaim>& claims, std::int64_t truths_of_all, int boxes) {
  std::vector<char> found(static_cast<std::size_t>(truths_of_all), 0);
  std::vector<double> precision, recall;
  int hits = 0;
  for (const ScoredClaim& claim : claims) {
    if (claim.truth >= 0 && found[static_cast<std::size_t>(claim.truth)] == 0) {
      found[static_cast<std::size_t>(claim.truth)] = 1;
      ++hits;
    }
    precision.push_back(static_cast<double>(hits) / static_cast<double>(precision.size() + 1));
    recall.push_back(static_cast<double>(hits) / boxes);
  }
  double area = 0, highest = 0;
  for (std::size_t i = precision.size(); i-- > 0;) {
    highest = std::max(highest, precision[i]);
    area += highest * (recall[i] - (i > 0 ? recall[i - 1] : 0));
  }
  return area;
}

}  // namespace

std::vector<double> darknet_average_precision(std::span<const ImageResult> results, int classes) {
  std::vector<std::vector<ScoredClaim>> claims(static_cast<std::size_t>(classes));
  std::vector<int> boxes(static_cast<std::size_t>(classes), 0);
  std::int64_t truths = 0;
  for (const ImageResult& photo : results) {
    for (const Detection& detection : photo.detections) {
      if (!(detection.score > 0)) continue;
      const std::int64_t truth = claimed_truth(detection, photo.truths);
      claims[static_cast<std::size_t>(detection.cls)].push_back({detection.score, truth < 0 ? -1 : truths + truth});
    }
    for (const Truth& truth : photo.truths) ++boxes[static_cast<std::size_t>(truth.cls)];
    truths += static_cast<std::int64_t>(photo.truths.size());
  }
  std::vector<double> precision(claims.size(), 0);
  for (std::size_t cls = 0; cls < claims.size(); ++cls) {
    if (boxes[cls] == 0) continue;
    std::stable_sort(claims[cls].begin(), claims[cls].end(),
                     [](const ScoredClaim& a, const ScoredClaim& b) { return a.score > b.score; });
    precision[cls] = area_under_curve(claims[cls], truths, boxes[cls]);
  }
  return precision;
}

}  // namespace rook
