// Winograd's transforms of tiles: F(2x2, 3x3), every function for kLanes channels at a time, in f32.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/conv_winograd.h"
#include "kernels/cpu/vec.h"

namespace rook::cpu::winograd {

// B^T d of a vector d of 4.
inline void input_transform(const Vec (&d)[4], Vec (&v)[4]) {
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[1] - d[3];
}

// A e of a vector e of 2.
inline void gradient_transform(Vec e0, Vec e1, Vec (&u)[4]) {
  u[0] = e0;
  u[1] = e0 + e1;
  u[2] = e0 - e1;
  u[3] = -e1;
}

// A^T m of a vector m of 4.
inline void output_transform(Vec m0, Vec m1, Vec m2, Vec m3, Vec (&y)[2]) {
  y[0] = m0 + m1 + m2;
  y[1] = m1 - m2 - m3;
}

// G w of a vector w of 3, and G^T m of a vector m of 4.
inline void filter_transform(Vec w0, Vec w1, Vec w2, Vec (&u)[4]) {
  const Vec even = 0.5f * (w0 + w2), odd = 0.5f * w1;
  u[0] = w0;
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = w2;
}
inline void filter_gradient(Vec m0, Vec m1, Vec m2, Vec m3, Vec (&w)[3]) {
  const Vec even = 0.5f * (m1 + m2);
  w[0] = m0 + even;
  w[1] = 0.5f * (m1 - m2);
  w[2] = even + m3;
}

// `count` channels of a pixel, zeros behind them.
template <bool kPartial, class T>
Vec load_channels(const T* source, int count) {
  if constexpr (kPartial) return load_partial(source, count);
  return load(source);
}

// Walks over the tiles [begin, end) in the order image, row, column.
class TileWalk {
 public:
  TileWalk(const Shape& shape, std::int64_t begin)
      : tiles_h_(shape.tiles_h()),
        tiles_w_(shape.tiles_w()),
        image(begin / (std::int64_t{tiles_h_} * tiles_w_)),
        row(static_cast<int>(begin / tiles_w_ % tiles_h_)),
        column(static_cast<int>(begin % tiles_w_)) {}
  void next() {
    if (++column < tiles_w_) return;
    column = 0;
    if (++row < tiles_h_) return;
    row = 0;
    ++image;
  }

 private:
  int tiles_h_, tiles_w_;

 public:
  std::int64_t image;
  int row, column;
};

// Calls take(tile - begin, v) with v = B^T d B, v[4 i + j], for the tiles [begin, end). `x` points to the first of
// `count` channels of pixel 0. Half of a tile's columns are those of the tile before it.
template <bool kPartial, class T, class Take>
void transform_inputs(const Shape& s, const T* x, int count, std::int64_t begin, std::int64_t end, Take take) {
  TileWalk at(s, begin);
  Vec columns[4][4] = {};  // B^T d: [column][row]
  const T* rows[4] = {};
  int x0 = 0;
  const auto transform_column = [&](int j) {
    const int column = x0 + j;
    if (column < 0 || column >= s.w) {
      for (Vec& v : columns[j]) v = Vec{};
      return;
    }
    Vec d[4];
    for (int i = 0; i < 4; ++i)
      d[i] = rows[i] ? load_channels<kPartial>(rows[i] + std::int64_t{column} * s.c, count) : Vec{};
    input_transform(d, columns[j]);
  };
  for (std::int64_t t = begin; t < end; ++t, at.next()) {
    x0 = at.column * kTile - s.pad_w;
    if (t == begin || at.column == 0) {
      for (int i = 0; i < 4; ++i) {
        const int row = at.row * kTile - s.pad_h + i;
        rows[i] = row < 0 || row >= s.h ? nullptr : x + (at.image * s.h + row) * s.w * s.c;
      }
      transform_column(0);
      transform_column(1);
    } else {
      for (int i = 0; i < 4; ++i) {
        columns[0][i] = columns[2][i];
        columns[1][i] = columns[3][i];
      }
    }
    transform_column(2);
    transform_column(3);
    Vec v[kPoints];
    for (int i = 0; i < 4; ++i) {
      v[4 * i] = columns[0][i] - columns[2][i];
      v[4 * i + 1] = columns[1][i] + columns[2][i];
      v[4 * i + 2] = columns[2][i] - columns[1][i];
      v[4 * i + 3] = columns[1][i] - columns[3][i];
    }
    take(t - begin, v);
  }
}

// Calls take(tile - begin, u) with u = A dy A^T for the tiles [begin, end); `s` is the shape of fprop.
template <bool kPartial, class T, class Take>
void transform_gradients(const Shape& s, const T* dy, int count, std::int64_t begin, std::int64_t end, Take take) {
  TileWalk at(s, begin);
  for (std::int64_t t = begin; t < end; ++t, at.next()) {
    const int row = at.row * kTile, column = at.column * kTile;
    const T* const first = dy + ((at.image * s.p + row) * s.q + column) * s.k;
    const bool right = column + 1 < s.q, below = row + 1 < s.p;
    const Vec e00 = load_channels<kPartial>(first, count);
    const Vec e01 = right ? load_channels<kPartial>(first + s.k, count) : Vec{};
    const Vec e10 = below ? load_channels<kPartial>(first + std::int64_t{s.q} * s.k, count) : Vec{};
    const Vec e11 = right && below ? load_channels<kPartial>(first + (std::int64_t{s.q} + 1) * s.k, count) : Vec{};
    Vec left_half[4], right_half[4], u[kPoints];
    gradient_transform(e00, e10, left_half);
    gradient_transform(e01, e11, right_half);
    for (int i = 0; i < 4; ++i) {
      u[4 * i] = left_half[i];
      u[4 * i + 1] = left_half[i] + right_half[i];
      u[4 * i + 2] = left_half[i] - right_half[i];
      u[4 * i + 3] = -right_half[i];
    }
    take(t - begin, u);
  }
}

}  // namespace rook::cpu::winograd
