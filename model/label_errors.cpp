#include "model/label_errors.h"

#include <fmt/format.h>
#include <algorithm>
#include <numeric>

#include "model/evaluate_parts.h"

namespace rook {
namespace {

constexpr double kNear = 0.1;         // IoU of a box with its object beside it
constexpr double kUnexplained = 0.5;  // a label with less than this share of a detection's confidence may be about it

// The labels of a photo and what the matching gives them.
struct Matched {
  std::vector<double> own;        // of each truth, 0: none
  std::vector<int> detection_of;  // of each truth, -1: none
  std::vector<char> explained;    // of each detection: it is a truth's own, or in an ignored region
};

std::vector<Matched> match_all(std::span<const ImageResult> results, int classes) {
  std::vector<Matched> all;
  for (const ImageResult& photo : results)
    all.push_back({.own = std::vector<double>(photo.truths.size(), 0),
                   .detection_of = std::vector<int>(photo.truths.size(), -1),
                   .explained = std::vector<char>(photo.detections.size(), 0)});
  for (const ClassMatches& of_class : match_coco(results, classes, 0))
    for (const JudgedDetection& judged : of_class.detections) {
      Matched& photo = all[static_cast<std::size_t>(judged.image)];
      if (judged.ignored(0)) photo.explained[static_cast<std::size_t>(judged.detection)] = 1;
      if (judged.truth < 0) continue;
      photo.own[static_cast<std::size_t>(judged.truth)] = judged.score;
      photo.detection_of[static_cast<std::size_t>(judged.truth)] = judged.detection;
      photo.explained[static_cast<std::size_t>(judged.detection)] = 1;
    }
  return all;
}

// Mean confidence with which the labels of each class are found.
std::vector<double> typical_confidence(std::span<const ImageResult> results, const std::vector<Matched>& matched,
                                       std::size_t classes) {
  std::vector<double> sum(classes, 0), count(classes, 0);
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::size_t t = 0; t < results[i].truths.size(); ++t) {
      const auto cls = static_cast<std::size_t>(results[i].truths[t].cls);
      sum[cls] += matched[i].own[t];
      count[cls] += 1;
    }
  for (std::size_t c = 0; c < classes; ++c) sum[c] /= std::max(1.0, count[c]);
  return sum;
}

// The suspects of one photo.
class PhotoCheck {
 public:
  PhotoCheck(int index, const ImageResult& photo, const Matched& matched, std::span<const double> typical)
      : index_(index), photo_(photo), matched_(matched), typical_(typical), worst_(photo.truths.size()) {}

  void run(std::vector<Suspect>& suspects) {
    std::vector<int> order(photo_.detections.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return detection(a).score > detection(b).score; });
    for (const int d : order)
      if (!matched_.explained[static_cast<std::size_t>(d)]) judge_detection(d);
    for (int t = 0; t < static_cast<int>(photo_.truths.size()); ++t) judge_truth(t);
    for (const std::vector<Suspect>* list : {&worst_, &missing_})
      for (const Suspect& suspect : *list)
        if (suspect.score > 0) suspects.push_back(suspect);
  }

 private:
  const Detection& detection(int d) const { return photo_.detections[static_cast<std::size_t>(d)]; }
  const Truth& truth(int t) const { return photo_.truths[static_cast<std::size_t>(t)]; }
  double own(int t) const { return matched_.own[static_cast<std::size_t>(t)]; }

  void accuse(const Suspect& suspect) {
    Suspect& worst = worst_[static_cast<std::size_t>(suspect.truth)];
    if (suspect.score > worst.score) worst = suspect;
  }

  // What a detection that is no label's own speaks for.
  void judge_detection(int d) {
    const Detection& box = detection(d);
    Suspect wrong{.photo = index_, .kind = LabelError::wrong_class, .detection = d}, misplaced = wrong;
    misplaced.kind = LabelError::misplaced_box;
    double nearest = 0;
    for (int t = 0; t < static_cast<int>(photo_.truths.size()); ++t) {
      const double o = overlap_of(box, truth(t));
      nearest = std::max(nearest, o);
      Suspect suspect{.photo = index_, .truth = t, .detection = d, .own = own(t), .overlap = o};
      suspect.score = box.score * (1 - own(t));
      if (o >= kSamePlace && truth(t).cls != box.cls && suspect.score > wrong.score) {
        suspect.kind = LabelError::wrong_class;
        wrong = suspect;
      }
      suspect.score *= 1 - o;
      const bool beside = o >= kNear && o < kSamePlace && truth(t).cls == box.cls;
      if (beside && own(t) < kUnexplained * box.score && suspect.score > misplaced.score) {
        suspect.kind = LabelError::misplaced_box;
        misplaced = suspect;
      }
    }
    if (wrong.truth >= 0) return accuse(wrong);
    if (nearest >= kSamePlace) return;  // a second detection of what its label has found already
    if (misplaced.truth >= 0) return accuse(misplaced);
    add_missing(d, nearest);
  }

  void add_missing(int d, double nearest) {
    for (const Suspect& surer : missing_)
      if (overlap_of(detection(d), detection(surer.detection)) >= kSamePlace) return;
    missing_.push_back({.photo = index_,
                        .kind = LabelError::missing_box,
                        .detection = d,
                        .score = detection(d).score * (1 - nearest),
                        .overlap = nearest});
  }

  void judge_truth(int t) {
    for (int other = 0; other < static_cast<int>(photo_.truths.size()); ++other) {
      const int d = matched_.detection_of[static_cast<std::size_t>(other)];
      const double o = overlap_of(truth(t), truth(other));
      // Of two labels the one that the model finds less is the second one.
      if (other == t || d < 0 || o < kSamePlace || own(other) <= own(t) ||
          overlap_of(detection(d), truth(t)) < kSamePlace)
        continue;
      accuse({.photo = index_,
              .kind = LabelError::double_box,
              .truth = t,
              .detection = d,
              .other = other,
              .score = own(other) * (1 - own(t)) * o,
              .own = own(t),
              .overlap = overlap_of(detection(d), truth(t))});
    }
    double seen = 0;
    for (const Detection& box : photo_.detections)
      if (overlap_of(box, truth(t)) >= kSamePlace) seen = std::max(seen, static_cast<double>(box.score));
    accuse({.photo = index_,
            .kind = LabelError::spurious_box,
            .truth = t,
            .score = typical_[static_cast<std::size_t>(truth(t).cls)] * (1 - seen),
            .own = own(t)});
  }

  int index_;
  const ImageResult& photo_;
  const Matched& matched_;
  std::span<const double> typical_;
  std::vector<Suspect> worst_, missing_;  // of each truth; without a truth
};

}  // namespace

const char* name_of(LabelError kind) {
  switch (kind) {
    case LabelError::wrong_class:
      return "wrong_class";
    case LabelError::missing_box:
      return "missing_box";
    case LabelError::misplaced_box:
      return "misplaced_box";
    case LabelError::double_box:
      return "double_box";
    case LabelError::spurious_box:
      return "spurious_box";
  }
  return "unknown";
}

std::vector<Suspect> find_label_errors(std::span<const ImageResult> results, std::span<const std::string> classes) {
  check_results(results, classes.size());
  const std::vector<Matched> matched = match_all(results, static_cast<int>(classes.size()));
  const std::vector<double> typical = typical_confidence(results, matched, classes.size());
  std::vector<Suspect> suspects;
  for (std::size_t i = 0; i < results.size(); ++i)
    PhotoCheck(static_cast<int>(i), results[i], matched[i], typical).run(suspects);
  std::stable_sort(suspects.begin(), suspects.end(),
                   [](const Suspect& a, const Suspect& b) { return a.score > b.score; });
  return suspects;
}

std::string describe(const Suspect& suspect, const ImageResult& photo, const std::vector<std::string>& classes) {
  const auto labelled = [&](int t) {
    return classes[static_cast<std::size_t>(photo.truths[static_cast<std::size_t>(t)].cls)];
  };
  if (suspect.kind == LabelError::spurious_box)
    return fmt::format("labelled {}; the model sees nothing there", labelled(suspect.truth));
  const Detection& d = photo.detections[static_cast<std::size_t>(suspect.detection)];
  const std::string seen = fmt::format("{} {:.2f}", classes[static_cast<std::size_t>(d.cls)], d.score);
  switch (suspect.kind) {
    case LabelError::wrong_class:
      return fmt::format("labelled {}; the model sees {} ({} {:.2f})", labelled(suspect.truth), seen,
                         labelled(suspect.truth), suspect.own);
    case LabelError::misplaced_box:
      return fmt::format("labelled {}; the model sees {} beside the box (IoU {:.2f})", labelled(suspect.truth), seen,
                         suspect.overlap);
    case LabelError::double_box:
      return fmt::format("labelled {}, but the model's {} there is labelled {} already", labelled(suspect.truth), seen,
                         labelled(suspect.other));
    default:
      return fmt::format("no label; the model sees {}", seen);
  }
}

}  // namespace rook
