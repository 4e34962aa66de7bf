// Reading and writing single logits in whatever storage, for the reference versions of the head's operations.
#pragma once

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/box.h"

namespace rook::ref {

// Channel `channel` of pixel `pixel` (over images, rows and columns).
inline double get_logit(const Tensor& tensor, std::int64_t pixel, int channel) {
  const std::int64_t i = pixel * tensor.pitch + channel;
  switch (tensor.dtype) {
    case DType::f32:
      return tensor.as<const float>()[i];
    case DType::f64:
      return tensor.as<const double>()[i];
    case DType::bf16:
      return bf16_to_float(tensor.as<const std::uint16_t>()[i]);
    default:
      throw Error("ref: a head's logits must be f32, f64 or bf16");
  }
}

inline void set_logit(const Tensor& tensor, std::int64_t pixel, int channel, double value) {
  const std::int64_t i = pixel * tensor.pitch + channel;
  switch (tensor.dtype) {
    case DType::f32:
      tensor.as<float>()[i] = static_cast<float>(value);
      return;
    case DType::f64:
      tensor.as<double>()[i] = value;
      return;
    case DType::bf16:
      tensor.as<std::uint16_t>()[i] = float_to_bf16(static_cast<float>(value));
      return;
    default:
      throw Error("ref: a head's gradient must be f32, f64 or bf16");
  }
}

// One anchor of one cell: where its entries lie, and its decoder.
struct Slot {
  const Tensor* logits = nullptr;
  std::int64_t pixel = 0;
  int first = 0;  // channel of entry 0
  HeadKind kind = HeadKind::yolo;
  CellDecoder<double> cell;

  double entry(int e) const { return get_logit(*logits, pixel, first + e); }
  Box<double> outputs() const {
    return {entry(box_entry(kind, 0)), entry(box_entry(kind, 1)), entry(box_entry(kind, 2)), entry(box_entry(kind, 3))};
  }
  Box<double> box() const { return cell.decode(outputs()); }
  double activated(int e) const { return cell.new_coords ? entry(e) : sigmoid(entry(e)); }
};

// `index` counts anchor cells of an image: (row * grid_w + column) * anchors + anchor.
inline Slot slot_of(const HeadSpec& head, const Tensor& logits, int net_w, int net_h, int image, int index) {
  const int cell = index / head.anchors, a = index % head.anchors;
  Slot slot;
  slot.logits = &logits;
  slot.pixel = std::int64_t{image} * logits.h * logits.w + cell;
  slot.first = a * head.entries();
  slot.kind = head.kind;
  slot.cell = cell_decoder<double>(head, a, logits.w, logits.h, net_w, net_h);
  slot.cell.col = cell % logits.w;
  slot.cell.row = cell / logits.w;
  return slot;
}

inline int slots_of(const HeadSpec& head, const Tensor& logits) {
  return logits.h * logits.w * head.anchors;
}

}  // namespace rook::ref
