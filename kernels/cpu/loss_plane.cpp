// One anchor's cells of one image as arrays: decoding and the best IoU with the truths, in vectors.
#include <algorithm>

#include "kernels/cpu/activation.h"
#include "kernels/cpu/yolo_loss.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

Vec lesser_of(Vec a, Vec b) {
  return select(a < b, a, b);
}
Vec greater_of(Vec a, Vec b) {
  return select(a > b, a, b);
}

}  // namespace

AnchorPlane::AnchorPlane(ScratchScope& scratch, int cell_count)
    : cells(cell_count), padded((cell_count + kLanes - 1) / kLanes * kLanes) {
  for (float** array :
       {&output, &objectness, &left, &top, &right, &bottom, &area, &best_iou, &t_[0], &t_[1], &t_[2], &t_[3]}) {
    *array = scratch.floats(padded);
    std::fill(*array + cells, *array + padded, 0.0f);
  }
}

void AnchorPlane::decode(const LossHead& head, int image, int anchor, int net_w, int net_h) {
  const Tensor& t = head.logits;
  const float* source = outputs_of(head, image, anchor);
  for (int cell = 0; cell < cells; ++cell, source += t.pitch) {
    for (int k = 0; k < 4; ++k) t_[k][cell] = source[k];
    output[cell] = source[4];
  }
  const CellDecoder<float> decoder = cell_decoder<float>(head.head, anchor, t.w, t.h, net_w, net_h);
  const bool activated = head.head.new_coords;
  const float shift = (decoder.scale_x_y - 1) / 2;
  const auto place = [&](Vec v) { return decoder.scale_x_y * (activated ? v : logistic(v)) - shift; };
  const auto size = [&](Vec v) {
    return activated ? 4.0f * v * v : exp_of(min_of(v, static_cast<float>(kMaxLogSize)));
  };
  for (int i = 0; i < padded; i += kLanes) {
    store(objectness + i, activated ? load(output + i) : logistic(load(output + i)));
    store(left + i, place(load(t_[0] + i)));
    store(top + i, place(load(t_[1] + i)));
    store(t_[2] + i, size(load(t_[2] + i)) * decoder.anchor_w);
    store(t_[3] + i, size(load(t_[3] + i)) * decoder.anchor_h);
  }
  for (int row = 0, cell = 0; row < t.h; ++row) {
    for (int col = 0; col < t.w; ++col, ++cell) {
      const float x = (static_cast<float>(col) + left[cell]) / decoder.grid_w;
      const float y = (static_cast<float>(row) + top[cell]) / decoder.grid_h;
      const float w = t_[2][cell], h = t_[3][cell];
      left[cell] = x - w / 2;
      right[cell] = x + w / 2;
      top[cell] = y - h / 2;
      bottom[cell] = y + h / 2;
      area[cell] = w * h;
    }
  }
}

void AnchorPlane::match(std::span<const Truth> truths, int classes) {
  std::fill_n(best_iou, padded, 0.0f);
  for (const Truth& truth : truths) {
    if (!is_usable(truth, classes)) continue;
    const Vec t_left = splat<Vec>(truth.x - truth.w / 2), t_right = splat<Vec>(truth.x + truth.w / 2);
    const Vec t_top = splat<Vec>(truth.y - truth.h / 2), t_bottom = splat<Vec>(truth.y + truth.h / 2);
    const Vec zero = splat<Vec>(0), t_area = splat<Vec>(truth.w * truth.h);
    for (int i = 0; i < padded; i += kLanes) {
      const Vec w = greater_of(lesser_of(load(right + i), t_right) - greater_of(load(left + i), t_left), zero);
      const Vec h = greater_of(lesser_of(load(bottom + i), t_bottom) - greater_of(load(top + i), t_top), zero);
      const Vec intersection = w * h;
      store(best_iou + i, greater_of(intersection / (load(area + i) + t_area - intersection), load(best_iou + i)));
    }
  }
}

void write_deltas(const LossHead& head, int image, const float* delta, double factor, LossSums& sums) {
  const int entries = head.head.entries(), channels = head.head.anchors * entries;
  const Tensor& t = head.dlogits;
  const std::int64_t pixels = std::int64_t{t.h} * t.w;
  const float f = static_cast<float>(factor);
  with_f32_or_bf16("yolo_loss", t.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    T* row = t.as<T>() + image * pixels * t.pitch;
    const float* source = delta;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel, row += t.pitch, source += channels) {
      map(
          channels, [f](Vec d) { return d * f; }, row, source);
    }
  });
  const std::int64_t slots = pixels * head.head.anchors;
  for (std::int64_t slot = 0; slot < slots; ++slot, delta += entries) {
    for (int e = 0; e < entries; ++e) {
      const double square = static_cast<double>(delta[e]) * delta[e];
      (e < 4 ? sums.box : e == 4 ? sums.objectness : sums.classes) += square;
    }
  }
}

}  // namespace rook::cpu
