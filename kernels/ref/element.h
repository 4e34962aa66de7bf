// A tensor of any storage as an array of doubles: how the reference implementations read and write.
#pragma once

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/types.h"

namespace rook::ref {

class Elements {
 public:
  explicit Elements(const Tensor& tensor) : t_(tensor) {}

  double get(int n, int y, int x, int c) const {
    const std::int64_t i = offset(n, y, x, c);
    switch (t_.dtype) {
      case DType::f32:
        return t_.as<float>()[i];
      case DType::f64:
        return t_.as<double>()[i];
      case DType::bf16:
        return bf16_to_float(t_.as<std::uint16_t>()[i]);
      default:
        throw Error("ref: tensors must be f32, f64 or bf16");
    }
  }

  // Writes `value`, or adds it to what is there.
  void put(int n, int y, int x, int c, double value, Grad mode = Grad::overwrite) const {
    if (mode == Grad::accumulate) value += get(n, y, x, c);
    const std::int64_t i = offset(n, y, x, c);
    switch (t_.dtype) {
      case DType::f32:
        t_.as<float>()[i] = static_cast<float>(value);
        return;
      case DType::f64:
        t_.as<double>()[i] = value;
        return;
      case DType::bf16:
        t_.as<std::uint16_t>()[i] = float_to_bf16(static_cast<float>(value));
        return;
      default:
        throw Error("ref: tensors must be f32, f64 or bf16");
    }
  }

 private:
  std::int64_t offset(int n, int y, int x, int c) const {
    return ((std::int64_t{n} * t_.h + y) * t_.w + x) * t_.pitch + c;
  }

  Tensor t_;
};

// Calls visit(n, y, x) for every pixel.
template <class Visit>
void for_each_pixel(const Tensor& t, Visit visit) {
  for (int n = 0; n < t.n; ++n)
    for (int y = 0; y < t.h; ++y)
      for (int x = 0; x < t.w; ++x) visit(n, y, x);
}

// Calls visit(n, y, x, c) for every element.
template <class Visit>
void for_each_element(const Tensor& t, Visit visit) {
  for_each_pixel(t, [&](int n, int y, int x) {
    for (int c = 0; c < t.c; ++c) visit(n, y, x, c);
  });
}

}  // namespace rook::ref
