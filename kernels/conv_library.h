// A convolution in the terms of the libraries: the plain numbers that descriptors of cuDNN and cuBLASLt are filled
// with. Nothing here needs a GPU or a library's header.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "kernels/conv.h"

namespace rook {

// Four extents and the distances between neighbours along each, in elements.
struct LibraryTensor {
  std::array<std::int64_t, 4> dims{}, strides{};
  bool operator==(const LibraryTensor&) const = default;
};

// cuDNN's convolution. Extents are in its order N, C, H, W whatever the strides say; groups show in C of the filters.
struct LibraryConv {
  LibraryTensor x, y;                                                           // [N,C,H,W], [N,K,P,Q]
  LibraryTensor weights;                                                        // [K,C/groups,R,S]
  LibraryTensor bias;                                                           // [1,K,1,1]
  std::array<std::int64_t, 2> pad_before{}, pad_after{}, stride{}, dilation{};  // down, across
};

// Nothing when cuDNN cannot express it: darknet computes the output's size from the undilated filter, so that a
// convolution may end before its input does.
std::optional<LibraryConv> library_conv(const ConvProblem& problem);

// An unpadded 1x1 convolution of stride 1 as one product of column-major matrices, D = op(A) op(B) (+ D):
// D is m x n, op(A) is m x k, op(B) is k x n.
struct LibraryGemm {
  enum class Operand : std::uint8_t { x, y, weights };  // of a gradient: dx, dy, dweights
  Operand a, b, d;
  bool transpose_a = false, transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldd = 0;  // distance between columns as they are stored
  bool operator==(const LibraryGemm&) const = default;
};

bool is_gemm(const ConvProblem& problem);
LibraryGemm library_gemm(const ConvProblem& problem);  // of a problem for which is_gemm says so

}  // namespace rook
