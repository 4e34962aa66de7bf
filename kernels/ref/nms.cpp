// Non-maximum suppression (darknet.md 5.5), as darknet does it: by class, best first, each survivor suppresses.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/box.h"
#include "kernels/head_check.h"

namespace rook::ref {
namespace {

bool better(const Detection& a, const Detection& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.index != b.index ? a.index < b.index : a.cls < b.cls;
}

bool suppresses(const Nms& args, const Detection& a, const Detection& b) {
  const Box<double> p{a.x, a.y, a.w, a.h}, q{b.x, b.y, b.w, b.h};
  double value = iou(p, q);
  // darknet's greedynms has 0.6 written into the code.
  if (args.kind == NmsKind::greedy) value -= std::pow(centre_penalty(p, q), 0.6);
  if (args.kind == NmsKind::diou) value -= std::pow(centre_penalty(p, q), static_cast<double>(args.beta));
  return value > args.threshold;
}

}  // namespace

void nms(const Nms& args, Stream) {
  check_nms(args);
  for (int image = 0; image < args.images; ++image) {
    Detection* first = args.detections + std::int64_t{image} * args.capacity;
    const int count = std::min(args.counts[image], args.capacity);
    std::vector<Detection> sorted;
    for (int i = 0; i < count; ++i) {
      if (!std::isnan(first[i].score)) sorted.push_back(first[i]);
    }
    std::sort(sorted.begin(), sorted.end(), better);
    std::vector<bool> suppressed(sorted.size(), false);
    std::int32_t survivors = 0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      if (suppressed[i]) continue;
      first[survivors++] = sorted[i];
      for (std::size_t j = i + 1; j < sorted.size(); ++j) {
        if (sorted[j].cls == sorted[i].cls && suppresses(args, sorted[i], sorted[j])) suppressed[j] = true;
      }
    }
    args.counts[image] = survivors;
  }
}

std::size_t nms_workspace(const Nms&) {
  return 0;
}

}  // namespace rook::ref
