#include "model/bootstrap.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "kernels/philox.h"
#include "model/evaluate_parts.h"

namespace rook {
namespace {

// The matches of a set of photos, and how many truths of each class each photo has. Matching is within a photo: copies
// of it match as it does.
class Judged {
 public:
  Judged(std::span<const ImageResult> results, int classes)
      : matches_(match_coco(results, classes, EvaluateOptions{}.max_detections)), boxes_(matches_.size()) {
    for (auto& of_class : boxes_) of_class.resize(results.size());
    for (std::size_t i = 0; i < results.size(); ++i)
      for (const Truth& truth : results[i].truths) ++boxes_[static_cast<std::size_t>(truth.cls)][i];
  }

  double map50(std::span<const int> copies) const {
    double sum = 0;
    int with_boxes = 0;
    for (std::size_t cls = 0; cls < matches_.size(); ++cls) {
      std::int64_t boxes = 0;
      for (std::size_t i = 0; i < copies.size(); ++i) boxes += std::int64_t{copies[i]} * boxes_[cls][i];
      if (boxes == 0) continue;
      sum += average_precision(matches_[cls], copies, boxes);
      ++with_boxes;
    }
    return with_boxes ? sum / with_boxes : 0;
  }

 private:
  // COCO's, at IoU 0.5. Of several copies of a hit the last one has the highest precision: it stands for them all.
  static double average_precision(const ClassMatches& matches, std::span<const int> copies, std::int64_t boxes) {
    std::vector<double> precision, recall;
    std::int64_t hits = 0, all = 0;
    for (const JudgedDetection& judged : matches.detections) {
      const int count = copies[static_cast<std::size_t>(judged.image)];
      if (count == 0 || judged.ignored(0)) continue;
      all += count;
      if (judged.hit(0)) hits += count;
      precision.push_back(static_cast<double>(hits) / static_cast<double>(all));
      recall.push_back(static_cast<double>(hits) / static_cast<double>(boxes));
    }
    return interpolated_precision(std::move(precision), recall);
  }

  std::vector<ClassMatches> matches_;
  std::vector<std::vector<int>> boxes_;  // [class][photo]
};

// The value below which that share of the sorted values lies, between neighbours by their distance.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

}  // namespace

double map50_with_copies(std::span<const ImageResult> results, int classes, std::span<const int> copies) {
  return Judged(results, classes).map50(copies);
}

Interval bootstrap_map50(std::span<const ImageResult> a, std::span<const ImageResult> b, int classes, int resamples,
                         std::uint64_t seed) {
  if (a.size() != b.size() || a.empty() || resamples < 1)
    throw Error(fmt::format("bootstrap: {} photos against {}, {} resamples", a.size(), b.size(), resamples));
  const Judged of_a(a, classes), of_b(b, classes);
  const std::vector<int> once(a.size(), 1);
  Interval result{.difference = of_b.map50(once) - of_a.map50(once)};
  std::vector<double> differences(static_cast<std::size_t>(resamples));
#pragma omp parallel for schedule(dynamic, 8)
  for (int r = 0; r < resamples; ++r) {
    std::vector<int> copies(a.size(), 0);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto block =
          philox(philox_key(seed), {.slot = static_cast<std::uint32_t>(i), .iteration = static_cast<std::uint32_t>(r)});
      ++copies[philox_below(block.x, static_cast<std::uint32_t>(a.size()))];
    }
    differences[static_cast<std::size_t>(r)] = of_b.map50(copies) - of_a.map50(copies);
  }
  for (const double d : differences) result.b_better += d > 0 ? 1.0 : d == 0 ? 0.5 : 0.0;
  result.b_better /= resamples;
  std::sort(differences.begin(), differences.end());
  result.low = quantile(differences, 0.025);
  result.high = quantile(differences, 0.975);
  return result;
}

}  // namespace rook
