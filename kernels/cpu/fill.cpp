#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/ops.h"

namespace rook::cpu {
namespace {

template <class T>
void fill(const Tensor& dst, T value) {
#pragma omp parallel for schedule(static)
  for (std::int64_t pixel = 0; pixel < dst.pixels(); ++pixel)
    std::fill_n(dst.as<T>() + pixel * dst.pitch, dst.c, value);
}

}  // namespace

void fill_channels(const FillChannels& args, Stream) {
  switch (args.dst.dtype) {
    case DType::f32:
      return fill(args.dst, args.value);
    case DType::bf16:
      return fill(args.dst, float_to_bf16(args.value));
    default:
      throw Error(fmt::format("fill_channels: {} is not supported", name_of(args.dst.dtype)));
  }
}

}  // namespace rook::cpu
