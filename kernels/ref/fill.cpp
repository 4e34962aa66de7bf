#include <fmt/format.h>

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/ops.h"

namespace rook::ref {

void fill_channels(const FillChannels& args, Stream) {
  const Tensor& dst = args.dst;
  for (std::int64_t pixel = 0; pixel < dst.pixels(); ++pixel)
    for (int c = 0; c < dst.c; ++c) {
      const std::int64_t i = pixel * dst.pitch + c;
      switch (dst.dtype) {
        case DType::f32:
          dst.as<float>()[i] = args.value;
          break;
        case DType::f64:
          dst.as<double>()[i] = args.value;
          break;
        case DType::bf16:
          dst.as<std::uint16_t>()[i] = float_to_bf16(args.value);
          break;
        default:
          throw Error(fmt::format("fill_channels: {} is not supported", name_of(dst.dtype)));
      }
    }
}

}  // namespace rook::ref
