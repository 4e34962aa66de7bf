// Arguments of the products that compute pixels: fprop and dgrad (kernels/conv_mma_pixels.cu).
#pragma once

#include "kernels/conv_mma_output.cuh"
#include "kernels/conv_mma_plan.h"
#include "kernels/conv_mma_tile.cuh"

namespace rook::ROOK_GPU::conv_mma {

struct PixelGemm {
  const void* source = nullptr;   // [images, source_h, source_w, channels] T, of source_pitch
  const void* weights = nullptr;  // [filter_h, filter_w, output.channels, channels] T
  int images = 0, source_h = 0, source_w = 0;
  int channels = 0, source_pitch = 0;  // multiples of kMmaChunk
  FastDivision by_channels;
  int filter_w = 1;
  MmaAxis y[kMaxMmaStride], x[kMaxMmaStride];
  int classes_x = 1, classes = 1;  // class i: y[i / classes_x] and x[i % classes_x]
  int destination_h = 0, destination_w = 0;
  std::int64_t destination_pixels = 0;
  PixelOutput output;
  int splits = 1;
  float* partial = nullptr;  // [splits, destination_pixels, partial_pitch], null when there is one split
  int partial_pitch = 0;
};

void run_pixels(const PixelGemm& g, DType type, MmaTile tile, Stream stream);

}  // namespace rook::ROOK_GPU::conv_mma
