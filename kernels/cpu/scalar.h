// One stored number (f32, bf16) to float and back, for plain loops; vectors of them are loaded and stored by vec.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/bfloat16.h"

namespace rook::cpu {

template <class T>
float to_float(T value) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::uint16_t>);
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return bf16_to_float(value);
}

template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return float_to_bf16(value);
}

}  // namespace rook::cpu
