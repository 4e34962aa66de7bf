// Non-maximum suppression (darknet.md 5.5). Candidates are sorted by class and score; each is compared with the
// survivors of its class, a block at a time, until one suppresses it. That is greedy suppression seen from the
// suppressed side.
#include <algorithm>
#include <cmath>

#include "kernels/box.h"
#include "kernels/cpu/scratch.h"
#include "kernels/head_check.h"

namespace rook::cpu {
namespace {

bool better(const Detection& a, const Detection& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.index != b.index ? a.index < b.index : a.cls < b.cls;
}

// Survivors of one class as arrays.
struct Survivors {
  float *left, *top, *right, *bottom, *area;
  int count = 0;

  Survivors(ScratchScope& scratch, int capacity)
      : left(scratch.floats(capacity)),
        top(scratch.floats(capacity)),
        right(scratch.floats(capacity)),
        bottom(scratch.floats(capacity)),
        area(scratch.floats(capacity)) {}

  void add(const Detection& d) {
    left[count] = d.x - d.w / 2;
    top[count] = d.y - d.h / 2;
    right[count] = d.x + d.w / 2;
    bottom[count] = d.y + d.h / 2;
    area[count] = d.w * d.h;
    ++count;
  }
};

class Suppressor {
 public:
  Suppressor(const Nms& args, ScratchScope& scratch, int capacity)
      : kind_(args.kind),
        threshold_(args.threshold),
        beta_(args.kind == NmsKind::greedy ? 0.6f : args.beta),
        kept_(scratch, capacity),
        kept_boxes_(scratch.take<Detection>(capacity)) {}

  void start_class() { kept_.count = 0; }

  // True when the candidate survives; then it is a survivor for those that follow.
  bool offer(const Detection& candidate) {
    constexpr int kBlock = 64;
    for (int first = 0; first < kept_.count; first += kBlock) {
      if (suppressed_by(candidate, first, std::min(kept_.count, first + kBlock))) return false;
    }
    kept_boxes_[kept_.count] = candidate;
    kept_.add(candidate);
    return true;
  }

 private:
  bool suppressed_by(const Detection& d, int first, int end) const {
    const float left = d.x - d.w / 2, top = d.y - d.h / 2, right = d.x + d.w / 2, bottom = d.y + d.h / 2;
    const float area = d.w * d.h;
    float best = 0;
    const Survivors& k = kept_;
#pragma omp simd reduction(max : best)
    for (int i = first; i < end; ++i) {
      const float w = std::min(right, k.right[i]) - std::max(left, k.left[i]);
      const float h = std::min(bottom, k.bottom[i]) - std::max(top, k.top[i]);
      const float intersection = (w > 0 ? w : 0.f) * (h > 0 ? h : 0.f);
      const float value = intersection / std::max(area + k.area[i] - intersection, 1e-38f);
      best = value > best ? value : best;
    }
    // DIoU is at most IoU, so the power is taken only where IoU alone would suppress.
    if (kind_ == NmsKind::plain || (threshold_ >= 0 && !(best > threshold_))) return best > threshold_;
    for (int i = first; i < end; ++i) {
      if (diou(kept_boxes_[i], d) > threshold_) return true;
    }
    return false;
  }
  float diou(const Detection& a, const Detection& b) const {
    const Box<float> p{a.x, a.y, a.w, a.h}, q{b.x, b.y, b.w, b.h};
    const float value = iou(p, q);
    return threshold_ >= 0 && !(value > threshold_) ? value : value - std::pow(centre_penalty(p, q), beta_);
  }

  NmsKind kind_;
  float threshold_, beta_;
  Survivors kept_;
  Detection* kept_boxes_;
};

void nms_image(const Nms& args, int image) {
  Detection* detections = args.detections + std::int64_t{image} * args.capacity;
  const int given = std::min(args.counts[image], args.capacity);
  Detection* end =
      std::remove_if(detections, detections + given, [](const Detection& d) { return d.score != d.score; });
  const int count = static_cast<int>(end - detections);
  std::sort(detections, end,
            [](const Detection& a, const Detection& b) { return a.cls != b.cls ? a.cls < b.cls : better(a, b); });
  ScratchScope scratch;
  Suppressor suppressor(args, scratch, count);
  int survivors = 0;
  for (int i = 0; i < count; ++i) {
    const Detection candidate = detections[i];
    if (i == 0 || candidate.cls != detections[i - 1].cls) suppressor.start_class();
    if (suppressor.offer(candidate)) detections[survivors++] = candidate;
  }
  std::sort(detections, detections + survivors, better);
  args.counts[image] = survivors;
}

}  // namespace

void nms(const Nms& args, Stream) {
  check_nms(args);
#pragma omp parallel for schedule(dynamic) if (args.images > 1)
  for (int image = 0; image < args.images; ++image) nms_image(args, image);
}

std::size_t nms_workspace(const Nms&) {
  return 0;
}

}  // namespace rook::cpu
