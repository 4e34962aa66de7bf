// Decoding of a head's output to detections (darknet.md 5.1-5.3). Nearly all anchors are background: their objectness
// is compared as a logit, so that they cost one load and no exponential; the classes of the few others likewise.
#include <cmath>

#include "kernels/box.h"
#include "kernels/cpu/scalar.h"
#include "kernels/cpu/scratch.h"
#include "kernels/head_check.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

template <class T>
class ImageDecoder {
 public:
  ImageDecoder(const HeadDecode& args, int image)
      : args_(args),
        head_(args.head),
        detections_(args.detections + std::int64_t{image} * args.capacity),
        count_(args.counts[image]),
        objectness_cutoff_(output_cutoff(args.threshold, head_.new_coords)) {
    for (int a = 0; a < head_.anchors; ++a) {
      cells_[a] = cell_decoder<float>(head_, a, args.logits.w, args.logits.h, args.net_w, args.net_h);
    }
  }

  void run(int image) {
    const Tensor& logits = args_.logits;
    const int entries = head_.entries(), objectness = objectness_entry(head_.kind);
    const T* pixel = logits.as<const T>() + std::int64_t{image} * logits.h * logits.w * logits.pitch;
    for (int cell = 0; cell < logits.h * logits.w; ++cell, pixel += logits.pitch) {
      for (int a = 0; a < head_.anchors; ++a) {
        const T* entry = pixel + a * entries;
        if (to_float(entry[objectness]) > objectness_cutoff_) anchor(entry, cell, a);
      }
    }
  }

 private:
  float activated(T output) const {
    const float value = to_float(output);
    return head_.new_coords ? value : sigmoid(value);
  }

  // An anchor that may hold an object.
  void anchor(const T* entry, int cell, int a) {
    Detection found{};
    found.objectness = activated(entry[objectness_entry(head_.kind)]);
    if (!(found.objectness > args_.threshold)) return;
    CellDecoder<float>& decoder = cells_[a];
    decoder.col = static_cast<float>(cell % args_.logits.w);
    decoder.row = static_cast<float>(cell / args_.logits.w);
    const auto value = [&](int k) { return to_float(entry[box_entry(head_.kind, k)]); };
    const Box<float> box = decoder.decode({value(0), value(1), value(2), value(3)});
    if (!std::isfinite(box.x + box.y + box.w + box.h)) return;
    found.x = box.x;
    found.y = box.y;
    found.w = box.w;
    found.h = box.h;
    found.index = args_.first_index + cell * head_.anchors + a;
    const T* classes = entry + class_entry(head_.kind);
    if (head_.kind == HeadKind::region && head_.softmax) {
      softmax_classes(found, classes);
    } else {
      logistic_classes(found, classes, entry);
    }
    if (args_.best_class && best_.score > args_.threshold) store(best_);
    best_.score = 0;
  }

  void logistic_classes(Detection& found, const T* classes, const T* entry) {
    float certainty = 1;  // Gaussian: 1 - mean of the four uncertainties
    for (int k = 0; head_.kind == HeadKind::gaussian && k < 4; ++k) certainty -= activated(entry[2 * k + 1]) / 4;
    const float weight = found.objectness * certainty;
    const float lowest =
        output_cutoff(weight > 0 ? args_.threshold / weight : 1, head_.new_coords) - (head_.new_coords ? 1e-5f : 0);
    for (int c = 0; c < head_.classes; ++c) {
      if (to_float(classes[c]) > lowest) emit(found, weight * activated(classes[c]), c);
    }
  }

  void softmax_classes(Detection& found, const T* classes) {
    ScratchScope scratch;
    float* p = scratch.floats(head_.classes);
    float largest = to_float(classes[0]), sum = 0;
    for (int c = 1; c < head_.classes; ++c) largest = std::max(largest, to_float(classes[c]));
    for (int c = 0; c < head_.classes; ++c) {
      p[c] = std::exp(to_float(classes[c]) - largest);
      sum += p[c];
    }
    for (int c = 0; c < head_.classes; ++c) emit(found, found.objectness * (p[c] / sum), c);
  }

  void emit(Detection& found, float score, int cls) {
    if (!(score > args_.threshold)) return;
    found.score = score;
    found.cls = cls;
    if (!args_.best_class) return store(found);
    if (score > best_.score) best_ = found;
  }

  void store(const Detection& found) {
    if (count_ < args_.capacity) detections_[count_] = found;
    ++count_;
  }

  const HeadDecode& args_;
  const HeadSpec& head_;
  Detection* detections_;
  std::int32_t& count_;
  float objectness_cutoff_;
  Detection best_{};  // of the current anchor, when only that is wanted
  CellDecoder<float> cells_[kMaxAnchors];
};

}  // namespace

void head_decode(const HeadDecode& args, Stream) {
  check_head_decode(args, Device::cpu, {DType::f32, DType::bf16});
  with_f32_or_bf16("head_decode", args.logits.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
#pragma omp parallel for schedule(static) if (args.logits.n > 1)
    for (int image = 0; image < args.logits.n; ++image) ImageDecoder<T>(args, image).run(image);
  });
}

}  // namespace rook::cpu
