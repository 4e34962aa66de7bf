// COCO's average precision (pycocotools, COCOeval.accumulate) and the counts at a confidence threshold.
#include "model/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "base/error.h"
#include "model/evaluate_parts.h"

namespace rook {
namespace {

template <class... Values>
bool all_finite(Values... values) {
  return (std::isfinite(values) && ...);
}

void check_class(const ImageResult& photo, const char* what, std::int32_t cls, std::size_t classes) {
  if (cls >= 0 && static_cast<std::size_t>(cls) < classes) return;
  throw Error(fmt::format("{}: a {} of class {}, but there are {} class names (0..{}): give the names of this model",
                          photo.name, what, cls, classes, static_cast<std::int64_t>(classes) - 1));
}

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

PrPoint pr_point(double conf, int hits, int detections, int boxes) {
  return {.conf = conf,
          .precision = ratio(hits, detections),
          .recall = ratio(hits, boxes),
          .f1 = ratio(2.0 * hits, detections + boxes)};
}

double average_precision(const ClassMatches& matches, int t) {
  if (matches.boxes == 0) return 0;
  std::vector<double> precision, recall;
  int hits = 0;
  for (const JudgedDetection& judged : matches.detections) {
    if (judged.ignored(t)) continue;
    hits += judged.hit(t) ? 1 : 0;
    precision.push_back(static_cast<double>(hits) / static_cast<double>(precision.size() + 1));
    recall.push_back(static_cast<double>(hits) / matches.boxes);
  }
  return interpolated_precision(std::move(precision), recall);
}

// At IoU 0.5. A point after each group of equal scores: no threshold can part them. `detections` by falling score.
std::vector<PrPoint> pr_curve(std::vector<JudgedDetection> detections, int boxes) {
  std::erase_if(detections, [](const JudgedDetection& judged) { return judged.ignored(0); });
  std::vector<PrPoint> curve;
  int hits = 0;
  for (std::size_t i = 0; i < detections.size(); ++i) {
    hits += detections[i].hit(0) ? 1 : 0;
    if (i + 1 < detections.size() && detections[i + 1].score == detections[i].score) continue;
    curve.push_back(pr_point(detections[i].score, hits, static_cast<int>(i) + 1, boxes));
  }
  return curve;
}

// The highest F1 over all classes together.
PrPoint find_best_f1(const std::vector<ClassMatches>& matches, int boxes) {
  std::vector<JudgedDetection> all;
  for (const ClassMatches& of_class : matches) {
    all.insert(all.end(), of_class.detections.begin(), of_class.detections.end());
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const JudgedDetection& a, const JudgedDetection& b) { return a.score > b.score; });
  const std::vector<PrPoint> curve = pr_curve(all, boxes);
  PrPoint best;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (!(curve[i].f1 > best.f1)) continue;
    best = curve[i];
    // A threshold that is exceeded by this score and by no lower one, with room on both sides.
    best.conf = (curve[i].conf + (i + 1 < curve.size() ? curve[i + 1].conf : 0)) / 2;
  }
  return best;
}

// What is judged at the confidence threshold, photo by photo, by falling score in each class.
using PhotoJudgements = std::vector<std::vector<JudgedDetection>>;

PhotoJudgements judged_above(const std::vector<ClassMatches>& matches, double conf, std::size_t photos) {
  PhotoJudgements by_photo(photos);
  for (const ClassMatches& of_class : matches) {
    for (const JudgedDetection& judged : of_class.detections) {
      if (judged.score > conf && !judged.ignored(0)) by_photo[static_cast<std::size_t>(judged.image)].push_back(judged);
    }
  }
  return by_photo;
}

double photo_f1(const ImageResult& photo, const std::vector<JudgedDetection>& judged) {
  if (photo.truths.empty() && judged.empty()) return 1;
  const auto hits = std::count_if(judged.begin(), judged.end(), [](const JudgedDetection& d) { return d.hit(0); });
  return 2.0 * static_cast<double>(hits) / static_cast<double>(judged.size() + photo.truths.size());
}

// Adds one photo to the confusion matrix: its true positives, then the remaining detections by falling score, each for
// the free truth it overlaps most at IoU >= 0.5, whatever its class, then what nobody has found.
void add_confusion(const ImageResult& photo, std::vector<JudgedDetection> judged,
                   std::vector<std::vector<int>>& matrix) {
  const std::size_t background = matrix.size() - 1;
  std::vector<char> taken(photo.truths.size(), 0);
  for (const JudgedDetection& d : judged) {
    if (d.truth >= 0) taken[static_cast<std::size_t>(d.truth)] = 1;
  }
  std::stable_sort(judged.begin(), judged.end(),
                   [](const JudgedDetection& a, const JudgedDetection& b) { return a.score > b.score; });
  for (const JudgedDetection& d : judged) {
    const Detection& detection = photo.detections[static_cast<std::size_t>(d.detection)];
    std::size_t row = background;
    if (d.truth >= 0) {
      row = static_cast<std::size_t>(detection.cls);
    } else {
      std::size_t match = taken.size();
      double best = iou_threshold(0);
      for (std::size_t t = 0; t < taken.size(); ++t) {
        const double overlap = overlap_of(detection, photo.truths[t]);
        if (taken[t] != 0 || !(overlap >= best)) continue;
        best = overlap;
        match = t;
      }
      if (match < taken.size()) {
        taken[match] = 1;
        row = static_cast<std::size_t>(photo.truths[match].cls);
      }
    }
    ++matrix[row][static_cast<std::size_t>(detection.cls)];
  }
  for (std::size_t t = 0; t < taken.size(); ++t) {
    if (taken[t] == 0) ++matrix[static_cast<std::size_t>(photo.truths[t].cls)][background];
  }
}

ClassResult summarise(const std::string& name, const ClassMatches& matches, double darknet_ap50, double conf) {
  ClassResult result;
  result.name = name;
  result.boxes = matches.boxes;
  result.darknet_ap50 = darknet_ap50;
  result.ap50 = average_precision(matches, 0);
  for (int t = 0; t < kIouThresholds; ++t) result.ap50_95 += average_precision(matches, t);
  result.ap50_95 /= kIouThresholds;
  for (const JudgedDetection& judged : matches.detections) {
    if (judged.score > conf && !judged.ignored(0)) ++(judged.hit(0) ? result.true_positives : result.false_positives);
  }
  result.false_negatives = matches.boxes - result.true_positives;
  result.curve = pr_curve(matches.detections, matches.boxes);
  return result;
}

}  // namespace

double interpolated_precision(std::vector<double> precision, std::span<const double> recall) {
  for (std::size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  constexpr int kPoints = 101;
  double sum = 0;
  std::size_t at = 0;
  for (int point = 0; point < kPoints; ++point) {
    const double wanted = point * 0.01;  // not point / 100.0: numpy's linspace, so that ties fall as in pycocotools
    while (at < recall.size() && recall[at] < wanted) ++at;
    if (at == recall.size()) break;
    sum += precision[at];
  }
  return sum / kPoints;
}

void check_results(std::span<const ImageResult> results, std::size_t classes) {
  for (const ImageResult& photo : results) {
    for (const Detection& d : photo.detections) {
      check_class(photo, "detection", d.cls, classes);
      if (!all_finite(d.x, d.y, d.w, d.h, d.score)) {
        throw Error(
            fmt::format("{}: a detection that is not finite (box {} {} {} {}, score {}): the weights are damaged",
                        photo.name, d.x, d.y, d.w, d.h, d.score));
      }
    }
    for (const Truth& t : photo.truths) {
      check_class(photo, "labelled box", t.cls, classes);
      if (!all_finite(t.x, t.y, t.w, t.h)) {
        throw Error(fmt::format("{}: a labelled box that is not finite ({} {} {} {}): correct the label", photo.name,
                                t.x, t.y, t.w, t.h));
      }
    }
  }
}

Evaluation evaluate(std::span<const ImageResult> results, std::span<const std::string> classes,
                    const EvaluateOptions& options) {
  check_results(results, classes.size());
  const std::vector<ClassMatches> matches =
      match_coco(results, static_cast<int>(classes.size()), options.max_detections);
  const std::vector<double> darknet = darknet_average_precision(results, static_cast<int>(classes.size()));

  Evaluation evaluation;
  evaluation.images = static_cast<int>(results.size());
  evaluation.conf = options.conf;
  int hits = 0, detections = 0, with_boxes = 0;
  for (std::size_t cls = 0; cls < classes.size(); ++cls) {
    evaluation.classes.push_back(summarise(classes[cls], matches[cls], darknet[cls], options.conf));
    const ClassResult& result = evaluation.classes.back();
    hits += result.true_positives;
    detections += result.true_positives + result.false_positives;
    evaluation.boxes += result.boxes;
    evaluation.map50 += result.ap50;
    evaluation.map50_95 += result.ap50_95;
    evaluation.darknet_map50 += result.darknet_ap50;
    if (result.boxes > 0) ++with_boxes;
  }
  evaluation.map50 = ratio(evaluation.map50, with_boxes);
  evaluation.map50_95 = ratio(evaluation.map50_95, with_boxes);
  evaluation.darknet_map50 = ratio(evaluation.darknet_map50, static_cast<double>(classes.size()));
  const PrPoint at_conf = pr_point(options.conf, hits, detections, evaluation.boxes);
  evaluation.precision = at_conf.precision;
  evaluation.recall = at_conf.recall;
  evaluation.f1 = at_conf.f1;
  evaluation.best_f1 = find_best_f1(matches, evaluation.boxes);

  const PhotoJudgements judged = judged_above(matches, options.conf, results.size());
  evaluation.confusion.assign(classes.size() + 1, std::vector<int>(classes.size() + 1, 0));
  for (std::size_t i = 0; i < results.size(); ++i) {
    evaluation.image_f1.push_back(photo_f1(results[i], judged[i]));
    add_confusion(results[i], judged[i], evaluation.confusion);
  }
  return evaluation;
}

}  // namespace rook
