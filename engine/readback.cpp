#include "engine/readback.h"

#include <cstddef>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/float16.h"

namespace rook {

std::vector<float> floats_of(const Tensor& tensor, const Executor& executor) {
  const std::size_t size = size_of(tensor.dtype);
  const std::size_t elements = static_cast<std::size_t>((tensor.pixels() - 1) * tensor.pitch + tensor.c);
  std::vector<std::byte> bytes(elements * size);
  executor.runtime().copy(bytes.data(), tensor.data, bytes.size(), executor.stream());
  executor.runtime().synchronize(executor.stream());
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(tensor.elements()));
  for (std::int64_t pixel = 0; pixel < tensor.pixels(); ++pixel) {
    for (int c = 0; c < tensor.c; ++c) {
      const std::int64_t i = pixel * tensor.pitch + c;
      if (tensor.dtype == DType::f32)
        values.push_back(reinterpret_cast<const float*>(bytes.data())[i]);
      else if (tensor.dtype == DType::bf16)
        values.push_back(bf16_to_float(reinterpret_cast<const std::uint16_t*>(bytes.data())[i]));
      else
        values.push_back(f16_to_float(reinterpret_cast<const std::uint16_t*>(bytes.data())[i]));
    }
  }
  return values;
}

}  // namespace rook
