// Decoding of a head's output to detections (darknet.md 5.1-5.3), in double.
#include <algorithm>
#include <vector>

#include "kernels/head_check.h"
#include "kernels/ref/head_io.h"

namespace rook::ref {
namespace {

// Probability of each class given an object.
std::vector<double> class_probabilities(const HeadSpec& head, const Slot& slot) {
  const int first = class_entry(head.kind);
  std::vector<double> p(static_cast<std::size_t>(head.classes));
  if (head.kind == HeadKind::region && head.softmax) {
    double largest = slot.entry(first), sum = 0;
    for (int c = 1; c < head.classes; ++c) largest = std::max(largest, slot.entry(first + c));
    for (int c = 0; c < head.classes; ++c) {
      p[static_cast<std::size_t>(c)] = std::exp(slot.entry(first + c) - largest);
      sum += p[static_cast<std::size_t>(c)];
    }
    for (double& value : p) value /= sum;
    return p;
  }
  double certainty = 1;  // Gaussian: 1 - mean of the four uncertainties
  for (int k = 0; head.kind == HeadKind::gaussian && k < 4; ++k) certainty -= slot.activated(2 * k + 1) / 4;
  for (int c = 0; c < head.classes; ++c) p[static_cast<std::size_t>(c)] = slot.activated(first + c) * certainty;
  return p;
}

void decode_slot(const HeadDecode& args, int image, int index) {
  const Slot slot = slot_of(args.head, args.logits, args.net_w, args.net_h, image, index);
  const double objectness = slot.activated(objectness_entry(args.head.kind));
  if (!(objectness > args.threshold)) return;
  const Box<double> box = slot.box();
  if (!std::isfinite(box.x + box.y + box.w + box.h)) return;
  const std::vector<double> p = class_probabilities(args.head, slot);
  const auto likeliest = std::max_element(p.begin(), p.end()) - p.begin();
  for (int c = 0; c < args.head.classes; ++c) {
    if (args.best_class && c != likeliest) continue;
    const double score = objectness * p[static_cast<std::size_t>(c)];
    if (!(score > args.threshold)) continue;
    const std::int32_t place = args.counts[image]++;
    if (place >= args.capacity) continue;
    args.detections[std::int64_t{image} * args.capacity + place] = {static_cast<float>(box.x),
                                                                    static_cast<float>(box.y),
                                                                    static_cast<float>(box.w),
                                                                    static_cast<float>(box.h),
                                                                    static_cast<float>(score),
                                                                    static_cast<float>(objectness),
                                                                    c,
                                                                    args.first_index + index};
  }
}

}  // namespace

void head_decode(const HeadDecode& args, Stream) {
  check_head_decode(args, Device::cpu, {DType::f32, DType::bf16, DType::f64});
  for (int image = 0; image < args.logits.n; ++image) {
    for (int index = 0; index < slots_of(args.head, args.logits); ++index) decode_slot(args, image, index);
  }
}

}  // namespace rook::ref
