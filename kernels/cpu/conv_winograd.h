// Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016):
// a tile of 2x2 outputs from 4x4 inputs with 16 multiplications per pair of channels instead of 36.
//
//   y  = A^T [ (G w G^T) (.) (B^T x B) ] A        fprop; dgrad is fprop of dy with the filters rotated and transposed
//   dw = G^T [ sum over tiles (A dy A^T) (.) (B^T x B) ] G                                                      wgrad
//
// At each of the 16 points (.) is a matrix product over channels (wgrad: over tiles). Products are those of the
// storage type (bf16 pairs or f32), sums f32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv.h"

namespace rook::cpu::winograd {

inline constexpr int kPoints = 16;
inline constexpr int kTile = 2;  // outputs of a tile, per axis

// A 3x3 convolution with stride 1. For dgrad the input is dy and the output dx.
struct Shape {
  int n, h, w, c;  // input
  int p, q, k;     // output
  int pad_h, pad_w;

  int tiles_h() const { return (p + kTile - 1) / kTile; }
  int tiles_w() const { return (q + kTile - 1) / kTile; }
  std::int64_t tiles() const { return std::int64_t{n} * tiles_h() * tiles_w(); }
};

Shape shape_of(const ConvProblem& problem);

// fprop and dgrad.
std::size_t filter_bytes(const ConvProblem& problem);
void transform_filters(const ConvProblem& problem, const float* weights, void* packed);
void run_forward(const ConvProblem& problem, const ConvArgs& args);

// wgrad.
std::size_t wgrad_bytes(const ConvProblem& problem);
void run_wgrad(const ConvProblem& problem, const ConvArgs& args);

// Whether there is code for a problem, and the row of the table: it supports those of them for which it is the fastest.
bool can_run(const ConvProblem& problem);
const ConvRow& conv_row();

}  // namespace rook::cpu::winograd
