#include "model/compare.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/overlap.h"

namespace rook {
namespace {

template <class A, class B>
bool same_box(const A& a, const B& b) {
  return a.cls == b.cls && overlap_of(a, b) >= kSamePlace;
}

// Which truth each detection above `conf` has found, by falling score; -1: none, or one that is found already.
std::vector<int> found_truths(const ImageResult& photo, double conf) {
  std::vector<int> order;
  for (int d = 0; d < static_cast<int>(photo.detections.size()); ++d)
    if (photo.detections[static_cast<std::size_t>(d)].score > conf) order.push_back(d);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return photo.detections[static_cast<std::size_t>(a)].score > photo.detections[static_cast<std::size_t>(b)].score;
  });
  std::vector<int> found(photo.detections.size(), -1);
  std::vector<char> taken(photo.truths.size(), 0);
  for (const int d : order)
    for (std::size_t t = 0; t < photo.truths.size(); ++t) {
      if (taken[t] || !same_box(photo.detections[static_cast<std::size_t>(d)], photo.truths[t])) continue;
      taken[t] = 1;
      found[static_cast<std::size_t>(d)] = static_cast<int>(t);
      break;
    }
  return found;
}

std::string minutes_text(const std::optional<Reached>& reached) {
  return reached ? fmt::format("{:.2f}", reached->minutes) : "-";
}

std::string verdict(const Interval& i) {
  return i.noise() ? "noise" : i.difference > 0 ? "better" : "worse";
}

}  // namespace

std::vector<Disagreement> disagreements(const std::vector<const ImageResult*>& photos, double conf) {
  std::vector<std::vector<int>> found;
  for (const ImageResult* photo : photos) found.push_back(found_truths(*photo, conf));
  const auto shows = [&](std::size_t run, const Detection& box) {
    const auto& all = photos[run]->detections;
    return std::any_of(all.begin(), all.end(),
                       [&](const Detection& other) { return other.score > conf && same_box(other, box); });
  };
  std::vector<Disagreement> result(photos.size());
  for (std::size_t r = 0; r < photos.size(); ++r) {
    const ImageResult& photo = *photos[r];
    for (std::size_t d = 0; d < photo.detections.size(); ++d) {
      if (!(photo.detections[d].score > conf)) continue;
      const bool judged = found[r][d] >= 0 || ignored_overlap(photo.detections[d], photo.ignored) < kSamePlace;
      bool agreed = true;
      for (std::size_t other = 0; other < photos.size(); ++other)
        agreed = agreed && (other == r || shows(other, photo.detections[d]));
      auto& list = agreed || !judged ? result[r].agreed : found[r][d] >= 0 ? result[r].right : result[r].wrong;
      list.push_back(static_cast<int>(d));
    }
    for (int t = 0; t < static_cast<int>(photo.truths.size()); ++t) {
      const auto finds = [&](std::size_t run) { return std::count(found[run].begin(), found[run].end(), t) > 0; };
      bool another = false;
      for (std::size_t other = 0; other < photos.size(); ++other) another = another || (other != r && finds(other));
      if (another && !finds(r)) result[r].missed.push_back(t);
    }
  }
  return result;
}

void complete(Comparison& comparison, double conf, int resamples, std::uint64_t seed) {
  comparison.resamples = resamples;
  double best = 0;
  for (ComparedRun& run : comparison.runs) {
    run.summary = summarise(run.run);
    run.evaluation = evaluate(run.results, comparison.classes, {.conf = conf});
    run.against_first = bootstrap_map50(comparison.runs.front().results, run.results,
                                        static_cast<int>(comparison.classes.size()), resamples, seed);
    best = std::max(best, run.summary.map50);
  }
  if (!comparison.targets.empty()) return;
  // The highest round ones that were reached.
  constexpr std::size_t kTargets = 3;
  for (const double target : {0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.25})
    if (target <= best && comparison.targets.size() < kTargets) comparison.targets.push_back(target);
  std::reverse(comparison.targets.begin(), comparison.targets.end());
}

std::string to_text(const Comparison& comparison) {
  std::size_t width = 4;
  for (const ComparedRun& run : comparison.runs) width = std::max(width, run.name.size());
  for (const std::string& name : comparison.classes) width = std::max(width, name.size());
  std::string text = fmt::format("on {}\n\n{:<{}}  {:>7} {:>9} {:>10} {:>7} {:>7} {:>8}", comparison.data, "run", width,
                                 "mAP50", "mAP50:95", "precision", "recall", "F1", "minutes");
  for (const double target : comparison.targets) text += fmt::format("  {:>6}", fmt::format("to {:.3g}", target));
  for (const ComparedRun& run : comparison.runs) {
    const Evaluation& e = run.evaluation;
    text += fmt::format("\n{:<{}}  {:7.4f} {:9.4f} {:10.4f} {:7.4f} {:7.4f} {:8.1f}", run.name, width, e.map50,
                        e.map50_95, e.precision, e.recall, e.f1, run.summary.minutes);
    for (const double target : comparison.targets)
      text += fmt::format("  {:>6}", minutes_text(first_reached(run.run, target)));
  }
  text += fmt::format("\n\nmAP50 against {} (95 % of {} resamples of the {} photos)\n", comparison.runs.front().name,
                      comparison.resamples, comparison.files.size());
  for (std::size_t r = 1; r < comparison.runs.size(); ++r) {
    const Interval& i = comparison.runs[r].against_first;
    text += fmt::format("{:<{}}  {:+.4f}  [{:+.4f}, {:+.4f}]  {}\n", comparison.runs[r].name, width, i.difference,
                        i.low, i.high, verdict(i));
  }
  text += fmt::format("\n{:<{}}  boxes", "AP50", width);
  for (const ComparedRun& run : comparison.runs)
    text += fmt::format("  {:>{}}", run.name, std::max<std::size_t>(7, run.name.size()));
  for (std::size_t cls = 0; cls < comparison.classes.size(); ++cls) {
    const int boxes = comparison.runs.front().evaluation.classes[cls].boxes;
    text += fmt::format("\n{:<{}}  {:>5}", comparison.classes[cls], width, boxes);
    for (const ComparedRun& run : comparison.runs)
      text += fmt::format("  {:>{}}", boxes ? fmt::format("{:.4f}", run.evaluation.classes[cls].ap50) : "-",
                          std::max<std::size_t>(7, run.name.size()));
  }
  return text + "\n";
}

nlohmann::json to_json(const Comparison& comparison) {
  nlohmann::json runs = nlohmann::json::array();
  for (const ComparedRun& run : comparison.runs) {
    nlohmann::json times = nlohmann::json::object();
    for (const double target : comparison.targets)
      if (const auto reached = first_reached(run.run, target))
        times[fmt::format("{:.3g}", target)] = {{"epoch", reached->epoch}, {"minutes", reached->minutes}};
    const Interval& i = run.against_first;
    runs.push_back({{"run", run.name},
                    {"training", to_json(run.summary)},
                    {"evaluation", to_json(run.evaluation)},
                    {"reached", times},
                    {"ms_per_photo", run.ms},
                    {"against_first",
                     {{"map50", i.difference},
                      {"low", i.low},
                      {"high", i.high},
                      {"noise", i.noise()},
                      {"share_better", i.b_better}}}});
  }
  return {{"data", comparison.data}, {"resamples", comparison.resamples}, {"runs", runs}};
}

}  // namespace rook
