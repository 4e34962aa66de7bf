// COCO's matching: detections of a class by falling score, each takes the best truth that is still free.
#include <algorithm>
#include <cstddef>
#include <numeric>

#include "model/evaluate_parts.h"

namespace rook {
namespace {

// Indices [0, count) grouped by class and, in a class, by falling score (detections) or as they stand (truths).
template <class Item, class Before>
std::vector<std::int32_t> order_by_class(const std::vector<Item>& items, Before before) {
  std::vector<std::int32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const Item &p = items[static_cast<std::size_t>(a)], &q = items[static_cast<std::size_t>(b)];
    return p.cls != q.cls ? p.cls < q.cls : before(p, q);
  });
  return order;
}

// The part of `order` from `at` on that is of class `cls`.
template <class Item>
std::span<const std::int32_t> run_of_class(std::span<const std::int32_t> order, std::size_t at,
                                           const std::vector<Item>& items, std::int32_t cls) {
  std::size_t end = at;
  while (end < order.size() && items[static_cast<std::size_t>(order[end])].cls == cls) ++end;
  return order.subspan(at, end - at);
}

// One class of one photo. COCOeval.evaluateImg walks the truths in order and lets a later one win a tie.
class PhotoMatcher {
 public:
  PhotoMatcher(const ImageResult& photo, std::span<const std::int32_t> truths)
      : photo_(photo), truths_(truths), taken_(truths.size(), 0), ious_(truths.size()) {}

  void judge(JudgedDetection& judged) {
    const Detection& detection = photo_.detections[static_cast<std::size_t>(judged.detection)];
    const auto box = box_of<double>(detection);
    for (std::size_t j = 0; j < truths_.size(); ++j) {
      ious_[j] = iou(box, box_of<double>(photo_.truths[static_cast<std::size_t>(truths_[j])]));
    }
    const double ignored = ignored_overlap(detection, photo_.ignored);
    for (int t = 0; t < kIouThresholds; ++t) {
      const auto bit = static_cast<std::uint16_t>(1u << t);
      std::size_t match = truths_.size();
      double best = iou_threshold(t);
      for (std::size_t j = 0; j < truths_.size(); ++j) {
        if ((taken_[j] & bit) != 0 || !(ious_[j] >= best)) continue;
        best = ious_[j];
        match = j;
      }
      if (match == truths_.size()) {
        if (ignored >= iou_threshold(t)) judged.ignores = static_cast<std::uint16_t>(judged.ignores | bit);
        continue;
      }
      taken_[match] = static_cast<std::uint16_t>(taken_[match] | bit);
      judged.hits = static_cast<std::uint16_t>(judged.hits | bit);
      if (t == 0) judged.truth = truths_[match];
    }
  }

 private:
  const ImageResult& photo_;
  std::span<const std::int32_t> truths_;
  std::vector<std::uint16_t> taken_;  // bit t: matched at threshold t
  std::vector<double> ious_;
};

}  // namespace

std::vector<ClassMatches> match_coco(std::span<const ImageResult> results, int classes, int max_detections) {
  std::vector<ClassMatches> all(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < results.size(); ++i) {
    const ImageResult& photo = results[i];
    const auto by_score = [](const Detection& p, const Detection& q) { return p.score > q.score; };
    const auto detections = order_by_class(photo.detections, by_score);
    const auto truths = order_by_class(photo.truths, [](const Truth&, const Truth&) { return false; });
    std::size_t d = 0, t = 0;
    for (std::int32_t cls = 0; cls < classes; ++cls) {
      ClassMatches& matches = all[static_cast<std::size_t>(cls)];
      const auto truths_here = run_of_class(std::span(truths), t, photo.truths, cls);
      const auto here = run_of_class(std::span(detections), d, photo.detections, cls);
      t += truths_here.size();
      d += here.size();
      matches.boxes += static_cast<int>(truths_here.size());
      PhotoMatcher matcher(photo, truths_here);
      const std::size_t kept = max_detections > 0 ? static_cast<std::size_t>(max_detections) : here.size();
      for (const std::int32_t detection : here.first(std::min(kept, here.size()))) {
        matches.detections.push_back({.score = photo.detections[static_cast<std::size_t>(detection)].score,
                                      .image = static_cast<std::int32_t>(i),
                                      .detection = detection});
        matcher.judge(matches.detections.back());
      }
    }
  }
  for (ClassMatches& matches : all) {
    std::stable_sort(matches.detections.begin(), matches.detections.end(),
                     [](const JudgedDetection& a, const JudgedDetection& b) { return a.score > b.score; });
  }
  return all;
}

}  // namespace rook
