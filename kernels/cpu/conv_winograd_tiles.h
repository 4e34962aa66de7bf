// Walks over the tiles of tensors and transforms them, kLanes channels at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/conv_winograd.h"
#include "kernels/cpu/conv_winograd_matrices.h"
#include "kernels/cpu/vec.h"

namespace rook::cpu::winograd {

// `count` channels of a pixel, zeros behind them.
template <bool kPartial, class T>
Vec load_channels(const T* source, int count) {
  if constexpr (kPartial) return load_partial(source, count);
  return load(source);
}

// Walks over the tiles from `begin` on in the order image, row, column.
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

// Calls take(tile - begin, v) with v = B^T d B, v[kInputs i + j], for the tiles [begin, end). `x` points to the first
// of `count` channels of pixel 0. The first two columns of a tile are the last two of the tile before it.
template <class Tile, bool kPartial, class T, class Take>
void transform_inputs(const Shape& s, const T* x, int count, std::int64_t begin, std::int64_t end, Take take) {
  constexpr int kInputs = Tile::kInputs, kShared = Tile::kInputs - Tile::kOutputs;
  TileWalk at(s, begin);
  Vec columns[kInputs][kInputs] = {};  // B^T d: [column][row]
  const T* rows[kInputs] = {};
  int x0 = 0;
  const auto transform_column = [&](int j) {
    const int column = x0 + j;
    if (column < 0 || column >= s.w) {
      for (Vec& v : columns[j]) v = Vec{};
      return;
    }
    Vec d[kInputs];
    for (int i = 0; i < kInputs; ++i)
      d[i] = rows[i] ? load_channels<kPartial>(rows[i] + std::int64_t{column} * s.c, count) : Vec{};
    Tile::transform_input(d, columns[j]);
  };
  for (std::int64_t t = begin; t < end; ++t, at.next()) {
    x0 = at.column * Tile::kOutputs - s.pad_w;
    if (t == begin || at.column == 0) {
      for (int i = 0; i < kInputs; ++i) {
        const int row = at.row * Tile::kOutputs - s.pad_h + i;
        rows[i] = row < 0 || row >= s.h ? nullptr : x + (at.image * s.h + row) * s.w * s.c;
      }
      for (int j = 0; j < kShared; ++j) transform_column(j);
    } else {
      for (int j = 0; j < kShared; ++j)
        for (int i = 0; i < kInputs; ++i) columns[j][i] = columns[Tile::kOutputs + j][i];
    }
    for (int j = kShared; j < kInputs; ++j) transform_column(j);
    Vec v[Tile::kPoints];
    for (int i = 0; i < kInputs; ++i) {
      Vec row[kInputs], of_row[kInputs];
      for (int j = 0; j < kInputs; ++j) row[j] = columns[j][i];
      Tile::transform_input(row, of_row);
      for (int j = 0; j < kInputs; ++j) v[kInputs * i + j] = of_row[j];
    }
    take(t - begin, v);
  }
}

// Calls take(tile - begin, u) with u = A dy A^T for the tiles [begin, end); `s` is the shape of fprop.
template <class Tile, bool kPartial, class T, class Take>
void transform_gradients(const Shape& s, const T* dy, int count, std::int64_t begin, std::int64_t end, Take take) {
  constexpr int kInputs = Tile::kInputs, kOutputs = Tile::kOutputs;
  TileWalk at(s, begin);
  for (std::int64_t t = begin; t < end; ++t, at.next()) {
    const int row = at.row * kOutputs, column = at.column * kOutputs;
    const T* const first = dy + ((at.image * s.p + row) * s.q + column) * s.k;
    Vec columns[kOutputs][kInputs];  // A dy: [column][row]
    for (int j = 0; j < kOutputs; ++j) {
      Vec e[kOutputs] = {};
      for (int i = 0; i < kOutputs; ++i)
        if (row + i < s.p && column + j < s.q)
          e[i] = load_channels<kPartial>(first + (std::int64_t{i} * s.q + j) * s.k, count);
      Tile::transform_gradient(e, columns[j]);
    }
    Vec u[Tile::kPoints];
    for (int i = 0; i < kInputs; ++i) {
      Vec of_row[kOutputs], to[kInputs];
      for (int j = 0; j < kOutputs; ++j) of_row[j] = columns[j][i];
      Tile::transform_gradient(of_row, to);
      for (int j = 0; j < kInputs; ++j) u[kInputs * i + j] = to[j];
    }
    take(t - begin, u);
  }
}

}  // namespace rook::cpu::winograd
