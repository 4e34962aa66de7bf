#include "model/anchors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "base/error.h"
#include "io/cfg_check.h"
#include "kernels/box.h"
#include "kernels/philox.h"

namespace rook {
namespace {

constexpr int kStarts = 10, kMostRounds = 300;
constexpr std::size_t kMostClustered = 5'000;
constexpr std::size_t kLeastBoxes = 10;  // an anchor of a head, to be fitted
constexpr double kPoor = 0.5;

double fit_of(const BoxShape& a, const BoxShape& b) {
  return shape_iou(Box<double>{0, 0, a.w, a.h}, Box<double>{0, 0, b.w, b.h});
}

struct Best {
  std::size_t anchor = 0;
  double iou = -1;
};

// The first of equals, of those in `used` (empty: of all).
Best best_of(const BoxShape& shape, std::span<const BoxShape> anchors, std::span<const char> used = {}) {
  Best best;
  for (std::size_t a = 0; a < anchors.size(); ++a)
    if (used.empty() || used[a])
      if (const double iou = fit_of(shape, anchors[a]); iou > best.iou) best = {a, iou};
  return best;
}

// Starts spread over the shapes: each new one is drawn with a probability that grows with its distance from those there
// are (k-means++, Arthur and Vassilvitskii 2007).
std::vector<BoxShape> draw_start(std::span<const BoxShape> shapes, int count, std::uint64_t seed, std::uint32_t start) {
  std::vector<BoxShape> anchors;
  std::vector<double> sums(shapes.size());
  for (int k = 0; k < count; ++k) {
    double sum = 0;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const double distance = anchors.empty() ? 1 : 1 - best_of(shapes[i], anchors).iou;
      sums[i] = sum += distance * distance;
    }
    const auto block = philox(
        philox_key(seed),
        {.slot = static_cast<std::uint32_t>(k), .iteration = start, .stream = philox_stream(PhiloxUse::shuffle, 3)});
    const auto at = std::upper_bound(sums.begin(), sums.end(), static_cast<double>(philox_uniform(block.x)) * sum);
    anchors.push_back(
        shapes[static_cast<std::size_t>(std::min<std::ptrdiff_t>(at - sums.begin(), std::ssize(sums) - 1))]);
  }
  return anchors;
}

// Each anchor becomes the mean of the shapes that it is best for, until nothing changes.
std::vector<BoxShape> settle(std::span<const BoxShape> shapes, std::vector<BoxShape> anchors) {
  for (int round = 0; round < kMostRounds; ++round) {
    std::vector<BoxShape> sums(anchors.size());
    std::vector<std::int64_t> counts(anchors.size(), 0);
    for (const BoxShape& shape : shapes) {
      const std::size_t best = best_of(shape, anchors).anchor;
      sums[best].w += shape.w;
      sums[best].h += shape.h;
      ++counts[best];
    }
    bool changed = false;
    for (std::size_t a = 0; a < anchors.size(); ++a) {
      if (counts[a] == 0) continue;  // stays: another start will do better
      const double n = static_cast<double>(counts[a]);
      const BoxShape mean{sums[a].w / n, sums[a].h / n};
      changed = changed || !(mean == anchors[a]);
      anchors[a] = mean;
    }
    if (!changed) break;
  }
  return anchors;
}

// Moves the sides of one anchor after the other by smaller and smaller steps as long as the mean IoU rises: means make
// distances of sides small, not overlaps large.
void climb(std::span<const BoxShape> shapes, std::vector<BoxShape>& anchors) {
  std::vector<double> others(shapes.size());  // IoU with the best of the other anchors
  for (const double step : {1.2, 1.1, 1.05, 1.02, 1.01, 1.005})
    for (bool better = true; better;) {
      better = false;
      for (std::size_t a = 0; a < anchors.size(); ++a) {
        std::vector<BoxShape> rest = anchors;
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(a));
        for (std::size_t i = 0; i < shapes.size(); ++i) others[i] = std::max(0.0, best_of(shapes[i], rest).iou);
        const auto total = [&](const BoxShape& anchor) {
          double sum = 0;
          for (std::size_t i = 0; i < shapes.size(); ++i) sum += std::max(others[i], fit_of(shapes[i], anchor));
          return sum;
        };
        double most = total(anchors[a]);
        const BoxShape from = anchors[a];
        for (const BoxShape& to : {BoxShape{from.w * step, from.h},
                                   {from.w / step, from.h},
                                   {from.w, from.h * step},
                                   {from.w, from.h / step}}) {
          const double sum = total(to);
          if (sum <= most * (1 + 1e-9)) continue;
          most = sum;
          anchors[a] = to;
          better = true;
        }
      }
    }
}

std::size_t count_different(std::span<const BoxShape> shapes) {
  std::set<std::pair<double, double>> different;
  for (const BoxShape& shape : shapes) different.emplace(shape.w, shape.h);
  return different.size();
}

std::vector<BoxShape> some_of(std::span<const BoxShape> shapes) {
  if (shapes.size() <= kMostClustered) return {shapes.begin(), shapes.end()};
  std::vector<BoxShape> chosen;
  for (std::size_t i = 0; i < kMostClustered; ++i) chosen.push_back(shapes[i * shapes.size() / kMostClustered]);
  return chosen;
}

}  // namespace

std::vector<BoxShape> box_shapes(const io::Split& split, int net_w, int net_h, Fit fit) {
  std::vector<BoxShape> shapes;
  for (const io::LabelledImage& image : split.images)
    for (const io::LabelBox& box : image.boxes) {
      Truth truth{box.x, box.y, box.w, box.h, box.cls};
      if (fit == Fit::letterbox) truth = letterboxed(truth, image.width, image.height, net_w, net_h);
      shapes.push_back({static_cast<double>(truth.w) * net_w, static_cast<double>(truth.h) * net_h});
    }
  return shapes;
}

AnchorFit measure_anchors(std::span<const BoxShape> shapes, std::vector<BoxShape> anchors, std::span<const char> used) {
  if (shapes.empty()) throw Error("there are no boxes to fit anchors to");
  if (anchors.empty()) throw Error("there are no anchors");
  AnchorFit fit{.anchors = std::move(anchors)};
  fit.boxes.resize(fit.anchors.size(), 0);
  std::int64_t poor = 0;
  for (const BoxShape& shape : shapes) {
    const Best best = best_of(shape, fit.anchors, used);
    ++fit.boxes[best.anchor];
    fit.mean_iou += best.iou;
    poor += best.iou < kPoor;
  }
  fit.mean_iou /= static_cast<double>(shapes.size());
  fit.poor = static_cast<double>(poor) / static_cast<double>(shapes.size());
  return fit;
}

AnchorFit fit_anchors(std::span<const BoxShape> shapes, int count, std::uint64_t seed) {
  const std::vector<BoxShape> some = some_of(shapes);
  const std::size_t different = count_different(some);
  if (count < 1 || different < static_cast<std::size_t>(count))
    throw Error(fmt::format("{} anchors cannot be fitted to boxes of {} different shapes", count, different));
  AnchorFit best;
  for (std::uint32_t start = 0; start < kStarts; ++start) {
    std::vector<BoxShape> anchors = settle(some, draw_start(some, count, seed, start));
    climb(some, anchors);
    AnchorFit fit = measure_anchors(some, std::move(anchors));
    if (fit.mean_iou > best.mean_iou) best = std::move(fit);
  }
  std::sort(best.anchors.begin(), best.anchors.end(),
            [](const BoxShape& a, const BoxShape& b) { return std::pair(a.w * a.h, a.w) < std::pair(b.w * b.h, b.w); });
  return measure_anchors(shapes, std::move(best.anchors));
}

std::vector<BoxShape> anchors_of(const Network& network) {
  if (network.heads.empty()) throw Error(fmt::format("{}: has no [yolo] head", network.cfg.name));
  for (const Head& head : network.heads)
    if (head.spec.kind == HeadKind::region)
      throw Error(fmt::format("{}: has a [region] head, whose anchors count in cells; [yolo] heads are wanted",
                              network.cfg.name));
  const HeadSpec& spec = network.heads.front().spec;
  std::vector<BoxShape> anchors;
  for (int i = 0; i < spec.total_anchors; ++i) anchors.push_back({spec.anchor_w[i], spec.anchor_h[i]});
  return anchors;
}

std::vector<char> used_anchors(const Network& network) {
  std::vector<char> used(anchors_of(network).size(), 0);
  for (const Head& head : network.heads)
    for (int a = 0; a < head.spec.anchors; ++a) used[static_cast<std::size_t>(head.spec.mask[a])] = 1;
  return used;
}

AnchorFit fit_heads(std::span<const BoxShape> shapes, const Network& network, std::uint64_t seed) {
  const std::vector<BoxShape> own = anchors_of(network);
  const std::vector<char> used = used_anchors(network);
  std::vector<std::vector<BoxShape>> boxes_of(own.size());  // whose best anchor it is
  for (const BoxShape& shape : shapes) boxes_of[best_of(shape, own, used).anchor].push_back(shape);
  std::vector<BoxShape> anchors = own;
  std::vector<char> fitted(own.size(), 0);  // two heads may use an anchor: the first decides
  for (const Head& head : network.heads) {
    std::set<std::size_t> places;
    std::vector<BoxShape> boxes;
    for (int a = 0; a < head.spec.anchors; ++a) {
      const auto place = static_cast<std::size_t>(head.spec.mask[a]);
      if (fitted[place] || !places.insert(place).second) continue;
      fitted[place] = 1;
      boxes.insert(boxes.end(), boxes_of[place].begin(), boxes_of[place].end());
    }
    if (boxes.size() < kLeastBoxes * places.size() || count_different(boxes) < places.size()) continue;
    const AnchorFit fit = fit_anchors(boxes, static_cast<int>(places.size()), seed);
    std::size_t next = 0;
    for (const std::size_t place : places) anchors[place] = fit.anchors[next++];
  }
  return measure_anchors(shapes, std::move(anchors), used);
}

std::string to_text(std::span<const BoxShape> anchors) {
  std::string text;
  for (const BoxShape& anchor : anchors)
    text += fmt::format("{}{:.1f},{:.1f}", text.empty() ? "" : ", ", anchor.w, anchor.h);
  return text;
}

void set_anchors(io::Cfg& cfg, std::span<const BoxShape> anchors) {
  const std::string text = to_text(anchors);
  for (io::CfgSection& section : cfg.sections) {
    if (section.type != "yolo" && section.type != "Gaussian_yolo") continue;
    const std::size_t there = section.numbers("anchors").size() / 2;
    if (there != anchors.size())
      throw Error(fmt::format("{}the table has {} anchors, not {}: masks name them by number",
                              io::place_of(section, "anchors"), there, anchors.size()));
    section.set("anchors", text);
  }
}

}  // namespace rook
