// Arguments of the product that computes gradients of filters: wgrad (kernels/conv_mma_filters.cu).
#pragma once

#include "kernels/conv_mma_plan.h"
#include "kernels/conv_mma_tile.cuh"

namespace rook::ROOK_GPU::conv_mma {

struct FilterGemm {
  const void* x = nullptr;   // [images, h, w, channels] T
  const void* dy = nullptr;  // [pixels, filters] T
  int pixels = 0;            // of dy: images * down.count * across.count
  int h = 0, w = 0;
  int channels = 0, filters = 0;  // multiples of kMmaChunk
  int pitch_x = 0, pitch_y = 0;   // from pixel to pixel, multiples too
  MmaAxis down, across;           // what an output sees of x
  int filter_w = 1, filter_taps = 1;
  float* out = nullptr;                   // [splits, out_filters, filter_taps, out_channels]
  int out_filters = 0, out_channels = 0;  // those that are real
  bool vectors = false;                   // 4 channels of `out` can be written at once
  Grad mode = Grad::accumulate;
  int splits = 1;
};

void run_filters(const FilterGemm& g, DType type, MmaTile tile, Stream stream);

}  // namespace rook::ROOK_GPU::conv_mma
