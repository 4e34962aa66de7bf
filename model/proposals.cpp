#include "model/proposals.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/overlap.h"

namespace rook {
namespace {

// Boxes that overlap so much show the same object, whatever class they say (IoU). Pieces that hide each other stay
// below.
constexpr double kSameObject = 0.6;
constexpr double kNothingSeen = 0.5;

// Doubts of a box have the same causes, so they are not added: the greatest counts.
void raise_doubt(Proposal& proposal, double chance, Doubt why) {
  if (!(chance > proposal.doubt)) return;
  proposal.doubt = chance;
  proposal.why = why;
}

// The part of a box on the photo, where labels have to lie.
Detection cut_at_edges(Detection d) {
  const auto cut = [](float& middle, float& size) {
    const float low = std::max(0.0f, middle - size / 2), high = std::min(1.0f, middle + size / 2);
    middle = (low + high) / 2;
    size = std::max(0.0f, high - low);
  };
  cut(d.x, d.w);
  cut(d.y, d.h);
  return d;
}

// One box per object: by falling confidence, each detection is a new object, or another class of an earlier one.
std::vector<Proposal> objects_of(std::span<const Detection> detections, const ProposalOptions& options) {
  std::vector<Detection> sorted;
  for (const Detection& d : detections)
    if (const Detection part = cut_at_edges(d); d.score >= options.floor && part.w > 0 && part.h > 0)
      sorted.push_back(part);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });
  std::vector<Proposal> objects;
  for (const Detection& d : sorted) {
    Proposal* same = nullptr;
    double most = kSameObject;
    for (Proposal& object : objects)
      if (const double o = overlap_of(object.box, d); object.box.cls != d.cls && o >= most) {
        most = o;
        same = &object;
      }
    if (same == nullptr) {
      objects.push_back({.box = d, .proposed = d.score >= options.conf});
    } else if (same->other_class < 0) {  // the first is the strongest
      same->other_class = d.cls;
      same->other_score = d.score;
    }
  }
  return objects;
}

// From half of what NMS joins up to there, the chance that a box and a stronger one of its class are one object rises
// from 0 to a half.
void doubt_twice(Proposal& proposal, std::span<const Proposal> stronger, const ProposalOptions& options) {
  for (std::size_t i = 0; i < stronger.size(); ++i) {
    if (stronger[i].box.cls != proposal.box.cls) continue;
    const double o = overlap_of(proposal.box, stronger[i].box);
    if (o > proposal.overlap) {
      proposal.overlap = o;
      proposal.other_box = static_cast<int>(i);
    }
  }
  const double from = options.nms_threshold / 2.0;
  if (from > 0) raise_doubt(proposal, std::clamp((proposal.overlap - from) / from, 0.0, 1.0) / 2, Doubt::twice);
}

// 1 - the largest IoU with a stronger box: what lies where another box lies may be the same object.
double apartness(const Detection& hint, std::span<const Proposal> stronger) {
  double most = 0;
  for (const Proposal& other : stronger) most = std::max(most, overlap_of(hint, other.box));
  return 1 - most;
}

}  // namespace

const char* name_of(Doubt doubt) {
  switch (doubt) {
    case Doubt::threshold:
      return "threshold";
    case Doubt::hint:
      return "hint";
    case Doubt::other_class:
      return "other_class";
    case Doubt::twice:
      return "twice";
  }
  return "unknown";
}

double presence_doubt(float score, float conf) {
  const double s = std::clamp(static_cast<double>(score), 0.0, 1.0), t = conf;
  if (s < t) return s / (2 * t);
  return t < 1 ? (1 - s) / (2 * (1 - t)) : 0.5;
}

PhotoProposals propose(std::span<const Detection> detections, const ProposalOptions& options) {
  PhotoProposals photo;
  photo.boxes = objects_of(detections, options);
  const auto first_hint =
      std::find_if(photo.boxes.begin(), photo.boxes.end(), [](const Proposal& p) { return !p.proposed; });
  auto kept = first_hint - photo.boxes.begin();
  if (options.max > 0) kept = std::min<std::ptrdiff_t>(kept, options.max);
  photo.boxes.erase(photo.boxes.begin() + kept, first_hint);
  photo.proposed = static_cast<int>(kept);
  for (std::size_t i = 0; i < photo.boxes.size(); ++i) {
    Proposal& p = photo.boxes[i];
    p.doubt = presence_doubt(p.box.score, options.conf);
    if (!p.proposed) {
      p.why = Doubt::hint;
      p.doubt *= apartness(p.box, std::span(photo.boxes).first(i));
      continue;
    }
    if (p.other_class >= 0) raise_doubt(p, p.other_score / (p.box.score + p.other_score), Doubt::other_class);
    doubt_twice(p, std::span(photo.boxes).first(i), options);
  }
  for (const Proposal& p : photo.boxes) photo.corrections += p.doubt;
  if (photo.boxes.empty()) photo.corrections = kNothingSeen;
  return photo;
}

std::vector<int> most_doubtful(const PhotoProposals& photo, int most, double least) {
  std::vector<int> order(photo.boxes.size());
  std::iota(order.begin(), order.end(), 0);
  const auto doubt = [&](int box) { return photo.boxes[static_cast<std::size_t>(box)].doubt; };
  std::erase_if(order, [&](int box) { return !(doubt(box) >= least); });
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return doubt(a) > doubt(b); });
  if (static_cast<int>(order.size()) > most) order.resize(static_cast<std::size_t>(most));
  return order;
}

std::string reason(const PhotoProposals& photo, int box, const std::vector<std::string>& classes,
                   const ProposalOptions& options) {
  const Proposal& p = photo.boxes[static_cast<std::size_t>(box)];
  const auto named = [&](int cls) { return classes[static_cast<std::size_t>(cls)]; };
  const std::string what = fmt::format("{} {:.2f}", named(p.box.cls), p.box.score);
  switch (p.why) {
    case Doubt::threshold:
      return fmt::format("{}: unsure that it is there (threshold {:.2f})", what, options.conf);
    case Doubt::hint:
      return fmt::format("{}: not proposed (threshold {:.2f}), may be missing", what, options.conf);
    case Doubt::other_class:
      return fmt::format("{}: or {} {:.2f}?", what, named(p.other_class), p.other_score);
    case Doubt::twice:
      return fmt::format("{}: shares {:.0f} % with {} {:.2f}: one or two?", what, 100 * p.overlap, named(p.box.cls),
                         photo.boxes[static_cast<std::size_t>(p.other_box)].box.score);
  }
  return what;
}

std::vector<int> by_uncertainty(std::span<const PhotoProposals> photos) {
  std::vector<int> order(photos.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return photos[static_cast<std::size_t>(a)].corrections > photos[static_cast<std::size_t>(b)].corrections;
  });
  return order;
}

}  // namespace rook
