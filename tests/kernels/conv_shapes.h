// Shapes of convolutions that every device is tested on: those of networks, and all that may go wrong at edges.
#pragma once

#include "kernels/conv.h"

namespace rook::test {

struct ConvCase {
  const char* name;
  int n, h, w;
  ConvGeometry geometry;
};

constexpr ConvGeometry square(int c, int k, int size, int stride = 1, int pad = 0, int dilation = 1, int groups = 1) {
  return {.c = c,
          .k = k,
          .r = size,
          .s = size,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = pad,
          .pad_w = pad,
          .dilation = dilation,
          .groups = groups};
}

constexpr ConvGeometry with_strides(ConvGeometry geometry, int stride_h, int stride_w) {
  geometry.stride_h = stride_h;
  geometry.stride_w = stride_w;
  return geometry;
}

struct Types {
  DType x, y;
};
constexpr Types both(DType type) {
  return {type, type};
}
inline constexpr ConvDirection kDirections[] = {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad};

constexpr ConvProblem problem_of(const ConvCase& k, ConvDirection direction, Types types, bool bias = false) {
  return {.direction = direction,
          .geometry = k.geometry,
          .n = k.n,
          .h = k.h,
          .w = k.w,
          .x = types.x,
          .y = types.y,
          .bias = bias};
}

// In slices of tensors with so many channels more.
constexpr ConvProblem sliced(ConvProblem problem, int more_x, int more_y) {
  problem.pitch_x = problem.geometry.c + more_x;
  problem.pitch_y = problem.geometry.k + more_y;
  return problem;
}

inline constexpr ConvCase kConvCases[] = {
    {"one value", 1, 1, 1, square(1, 1, 1)},
    {"a vector", 3, 1, 1, square(37, 19, 1)},
    {"first layer", 2, 13, 17, square(3, 16, 3, 2, 1)},
    {"first layer, several tiles", 2, 23, 37, square(3, 40, 3, 1, 1)},
    {"first layer, large filter", 1, 19, 11, square(4, 24, 7, 2, 3)},
    {"grey picture", 1, 11, 7, square(1, 5, 5, 1, 2)},
    {"pointwise", 2, 7, 5, square(24, 40, 1)},
    {"pointwise, odd channels", 1, 13, 11, square(37, 75, 1)},
    {"pointwise, stride", 1, 9, 7, square(11, 13, 1, 2)},
    {"plain 3x3", 2, 7, 11, square(16, 32, 3, 1, 1)},
    {"prime 3x3", 3, 7, 5, square(13, 17, 3, 1, 1)},
    {"several tiles", 1, 11, 13, square(72, 136, 1)},
    {"several tiles, 3x3", 2, 9, 5, square(40, 72, 3, 1, 1)},
    {"many pixels", 3, 19, 23, square(5, 6, 1)},
    {"no padding", 1, 8, 6, square(7, 9, 3)},
    {"filter as large as the picture", 1, 5, 3, {.c = 6, .k = 4, .r = 5, .s = 3}},
    {"even filter", 1, 9, 8, square(5, 6, 2, 2, 1)},
    {"flat filter", 2, 6, 9, {.c = 8, .k = 3, .r = 1, .s = 5, .pad_w = 2}},
    {"much padding", 1, 4, 3, {.c = 3, .k = 4, .r = 3, .s = 3, .pad_h = 3, .pad_w = 2}},
    {"stride 2", 2, 13, 9, square(8, 16, 3, 2, 1)},
    {"strides differ", 1, 11, 13, with_strides(square(8, 8, 3, 1, 1), 2, 1)},
    {"stride 3", 1, 13, 13, square(5, 11, 3, 3, 1)},
    {"stride beyond filter", 1, 11, 9, with_strides(square(4, 6, 2), 3, 4)},
    {"stride beyond the picture", 2, 2, 1, square(9, 6, 1, 3)},
    {"dilation", 2, 11, 9, square(8, 7, 3, 1, 1, 2)},
    {"dilation 4", 1, 13, 17, square(3, 5, 3, 1, 1, 4)},
    {"dilation beyond the picture", 1, 4, 5, square(3, 5, 3, 1, 1, 6)},
    {"dilation and stride", 1, 11, 13, with_strides(square(6, 8, 3, 1, 1, 2), 2, 3)},
    {"dilation, no padding", 1, 9, 9, square(4, 4, 3, 1, 0, 2)},
    {"two groups", 2, 7, 5, square(16, 8, 3, 1, 1, 1, 2)},
    {"five odd groups", 1, 5, 7, square(15, 35, 3, 1, 1, 1, 5)},
    {"pointwise groups", 1, 6, 5, square(12, 18, 1, 1, 0, 1, 3)},
    {"groups and stride", 1, 9, 10, square(16, 32, 3, 2, 1, 1, 2)},
    {"depthwise", 2, 9, 7, square(16, 16, 3, 1, 1, 1, 16)},
    {"depthwise, many channels", 1, 5, 6, square(264, 264, 3, 2, 1, 1, 264)},
    {"depthwise, many pixels", 2, 29, 31, square(8, 8, 3, 1, 1, 1, 8)},
    {"depthwise, odd, stride", 1, 11, 13, square(21, 21, 5, 2, 2, 1, 21)},
    {"depthwise, twice the filters", 1, 7, 7, square(9, 18, 3, 1, 1, 1, 9)},
    {"depthwise, dilation", 1, 9, 11, square(8, 8, 3, 1, 1, 2, 8)},
    {"depthwise, dilation and strides", 1, 9, 11, with_strides(square(8, 8, 3, 1, 1, 2, 8), 3, 2)},
};

}  // namespace rook::test
