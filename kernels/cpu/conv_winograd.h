// Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
// F(2x2, 3x3): a tile of 2x2 outputs from 4x4 inputs with 16 multiplications per pair of channels instead of 36.
// F(4x4, 3x3): 4x4 outputs from 6x6 inputs with 36 instead of 144; in f32.
//
//   y  = A^T [ (G w G^T) (.) (B^T x B) ] A        fprop; dgrad is fprop of dy with the filters rotated and transposed
//   dw = G^T [ sum over tiles (A dy A^T) (.) (B^T x B) ] G                                                      wgrad
//
// At each of the 16 or 36 points (.) is a matrix product over channels (wgrad: over tiles). Products are those of the
// storage type (bf16 pairs or f32), sums f32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv.h"

namespace rook::cpu::winograd {

// A 3x3 convolution with stride 1. For dgrad the input is dy and the output dx.
struct Shape {
  int n, h, w, c;  // input
  int p, q, k;     // output
  int pad_h, pad_w;
  int tile;  // outputs of a tile, per axis: 2 or 4

  int tiles_h() const { return (p + tile - 1) / tile; }
  int tiles_w() const { return (q + tile - 1) / tile; }
  std::int64_t tiles() const { return std::int64_t{n} * tiles_h() * tiles_w(); }
};

Shape shape_of(const ConvProblem& problem, int tile);

// fprop and dgrad.
std::size_t filter_bytes(const ConvProblem& problem, int tile);
void transform_filters(const ConvProblem& problem, int tile, const float* weights, void* packed);
void run_forward(const ConvProblem& problem, int tile, const ConvArgs& args);

// wgrad.
std::size_t wgrad_bytes(const ConvProblem& problem, int tile);
void run_wgrad(const ConvProblem& problem, int tile, const ConvArgs& args);

// Whether there is code for a problem, and the rows of the table, "winograd4" and "winograd": they support those of the
// problems for which they are the fastest.
bool can_run(const ConvProblem& problem, int tile);
const ConvRow& conv_row(int tile);

}  // namespace rook::cpu::winograd
