// Results to evaluate, and slow evaluators written straight from the definitions, another way than the ones under test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "model/evaluate.h"
#include "tests/support.h"

namespace rook::test {

// Boxes by their edges.
inline Truth truth_at(double left, double top, double right, double bottom, int cls = 0) {
  return {static_cast<float>((left + right) / 2), static_cast<float>((top + bottom) / 2),
          static_cast<float>(right - left), static_cast<float>(bottom - top), cls};
}
inline Detection detection_at(double score, double left, double top, double right, double bottom, int cls = 0) {
  const Truth box = truth_at(left, top, right, bottom, cls);
  return {box.x, box.y, box.w, box.h, static_cast<float>(score), 1, cls, 0};
}

// Numbers that come from floats of the size of 1.
inline bool near(double a, double b) {
  return std::abs(a - b) <= 1e-5;
}

inline std::vector<std::string> class_names(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(fmt::format("class {}", i));
  return names;
}

struct RandomResults {
  int photos = 7, classes = 3, truths = 6, detections = 15;  // at most, of a photo
  int score_levels = 1 << 20;                                // few: many ties
};

// Crowded photos: detections are truths moved a little (sometimes of another class), doubles of each other, or noise.
inline std::vector<ImageResult> random_results(Random& random, const RandomResults& wanted) {
  std::vector<ImageResult> results;
  for (int i = 0; i < wanted.photos; ++i) {
    ImageResult photo{.name = fmt::format("photo {}", i), .width = 640, .height = 480};
    const std::int64_t truths = random.below(wanted.truths + 1), detections = random.below(wanted.detections + 1);
    for (std::int64_t t = 0; t < truths; ++t) {
      const double x = random.uniform(0, 0.5), y = random.uniform(0, 0.5);
      photo.truths.push_back(truth_at(x, y, x + random.uniform(0.1, 0.4), y + random.uniform(0.1, 0.4),
                                      static_cast<int>(random.below(wanted.classes))));
    }
    for (std::int64_t d = 0; d < detections; ++d) {
      const double score = static_cast<double>(1 + random.below(wanted.score_levels)) / wanted.score_levels;
      Detection detection = detection_at(score, 0.1, 0.1, random.uniform(0.2, 0.9), random.uniform(0.2, 0.9),
                                         static_cast<int>(random.below(wanted.classes)));
      if (truths > 0 && random.below(4) > 0) {
        const Truth& truth = photo.truths[static_cast<std::size_t>(random.below(truths))];
        const auto near = [&](float value) { return value + static_cast<float>(random.normal() * 0.03); };
        detection = {near(truth.x),
                     near(truth.y),
                     std::max(0.01f, near(truth.w)),
                     std::max(0.01f, near(truth.h)),
                     detection.score,
                     1,
                     random.below(5) > 0 ? truth.cls : detection.cls,
                     0};
      }
      photo.detections.push_back(detection);
    }
    results.push_back(photo);
  }
  return results;
}

// Intersection over union by the edges, in pixels of a large picture.
inline double slow_iou(const Detection& d, const Truth& t) {
  const double size = 4096;
  const double left = std::max((d.x - d.w / 2.0) * size, (t.x - t.w / 2.0) * size);
  const double right = std::min((d.x + d.w / 2.0) * size, (t.x + t.w / 2.0) * size);
  const double top = std::max((d.y - d.h / 2.0) * size, (t.y - t.h / 2.0) * size);
  const double bottom = std::min((d.y + d.h / 2.0) * size, (t.y + t.h / 2.0) * size);
  if (right <= left || bottom <= top) return 0;
  const double shared = (right - left) * (bottom - top);
  return shared / (double{d.w} * d.h * size * size + double{t.w} * t.h * size * size - shared);
}

// One detection of a class, in the order in which both evaluators look at them.
struct Ranked {
  std::size_t photo = 0, index = 0;
  float score = 0;
  bool hit = false;
};

// All detections of a class by falling score, found by selection; equal scores in the order of photos.
inline std::vector<Ranked> ranked(std::span<const ImageResult> results, int cls) {
  std::vector<Ranked> left, order;
  for (std::size_t p = 0; p < results.size(); ++p) {
    for (std::size_t d = 0; d < results[p].detections.size(); ++d) {
      const Detection& detection = results[p].detections[d];
      if (detection.cls == cls) left.push_back({p, d, detection.score, false});
    }
  }
  while (!left.empty()) {
    std::size_t first = 0;
    for (std::size_t i = 1; i < left.size(); ++i) {
      if (left[i].score > left[first].score) first = i;
    }
    order.push_back(left[first]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(first));
  }
  return order;
}

inline int boxes_of(std::span<const ImageResult> results, int cls) {
  int boxes = 0;
  for (const ImageResult& photo : results) {
    for (const Truth& truth : photo.truths) boxes += truth.cls == cls ? 1 : 0;
  }
  return boxes;
}

// What pycocotools' matching decides: one global walk by falling score over sets of free truths, instead of photo by
// photo over flags. A detection takes the free truth of the greatest IoU, the last of equal ones.
inline std::vector<Ranked> slow_coco_hits(std::span<const ImageResult> results, int cls, double threshold, int most) {
  std::vector<std::set<std::size_t>> free(results.size());
  std::vector<int> seen(results.size(), 0);
  for (std::size_t p = 0; p < results.size(); ++p) {
    for (std::size_t t = 0; t < results[p].truths.size(); ++t) {
      if (results[p].truths[t].cls == cls) free[p].insert(t);
    }
  }
  std::vector<Ranked> judged;
  for (Ranked entry : ranked(results, cls)) {
    if (most > 0 && ++seen[entry.photo] > most) continue;
    const ImageResult& photo = results[entry.photo];
    const auto overlap = [&](std::size_t t) { return slow_iou(photo.detections[entry.index], photo.truths[t]); };
    std::vector<std::size_t> by_overlap(free[entry.photo].begin(), free[entry.photo].end());
    std::stable_sort(by_overlap.begin(), by_overlap.end(),
                     [&](std::size_t a, std::size_t b) { return overlap(a) < overlap(b); });
    if (!by_overlap.empty() && overlap(by_overlap.back()) >= threshold) {
      entry.hit = true;
      free[entry.photo].erase(by_overlap.back());
    }
    judged.push_back(entry);
  }
  return judged;
}

// The highest precision after any number of detections at least `from`.
inline double best_precision(const std::vector<Ranked>& judged, std::size_t from) {
  double best = 0;
  int hits = 0;
  for (std::size_t k = 0; k < judged.size(); ++k) {
    hits += judged[k].hit ? 1 : 0;
    if (k + 1 >= from) best = std::max(best, hits / static_cast<double>(k + 1));
  }
  return best;
}

// Mean over 101 recalls of the highest precision among the prefixes that reach the recall.
inline double slow_coco_ap(const std::vector<Ranked>& judged, int boxes) {
  double sum = 0;
  for (int point = 0; point <= 100; ++point) {
    int hits = 0;
    std::size_t prefix = 0;
    while (prefix < judged.size() && static_cast<double>(hits) / boxes < point * 0.01) {
      hits += judged[prefix++].hit ? 1 : 0;
    }
    if (static_cast<double>(hits) / boxes >= point * 0.01) sum += best_precision(judged, prefix);
  }
  return sum / 101;
}

// darknet: every true positive adds 1 / boxes of recall, times the highest precision from there on.
inline double slow_darknet_ap(std::span<const ImageResult> results, int cls) {
  std::set<std::pair<std::size_t, std::size_t>> found;
  std::vector<Ranked> judged = ranked(results, cls);
  for (Ranked& entry : judged) {
    const ImageResult& photo = results[entry.photo];
    std::size_t claimed = photo.truths.size();
    for (std::size_t t = photo.truths.size(); t-- > 0;) {
      if (photo.truths[t].cls != cls) continue;
      const double overlap = slow_iou(photo.detections[entry.index], photo.truths[t]);
      if (overlap <= 0.5) continue;
      const bool better =
          claimed == photo.truths.size() || overlap >= slow_iou(photo.detections[entry.index], photo.truths[claimed]);
      if (better) claimed = t;
    }
    entry.hit = claimed < photo.truths.size() && found.insert({entry.photo, claimed}).second;
  }
  double area = 0;
  for (std::size_t k = 0; k < judged.size(); ++k) {
    if (judged[k].hit) area += best_precision(judged, k + 1);
  }
  const int boxes = boxes_of(results, cls);
  return boxes > 0 ? area / boxes : 0;
}

}  // namespace rook::test
