// From a DType that is known at run time to code that is compiled for its storage type.
#pragma once

#include <fmt/core.h>

#include <cstdint>

#include "base/error.h"
#include "kernels/types.h"

namespace rook {

// Passed to the visitor, which writes `typename decltype(storage)::Type` (std::uint16_t for bf16).
template <class T>
struct Storage {
  using Type = T;
};

// Calls visit(Storage<float or std::uint16_t>). Throws Error for any other dtype.
template <class Visitor>
void with_f32_or_bf16(const char* operation, DType type, Visitor visit) {
  switch (type) {
    case DType::f32:
      return visit(Storage<float>{});
    case DType::bf16:
      return visit(Storage<std::uint16_t>{});
    default:
      break;
  }
  throw Error(fmt::format("{}: no implementation for {} tensors; use f32 or bf16", operation, name_of(type)));
}

// Two dtypes at once: visit(Storage<...>, Storage<...>).
template <class Visitor>
void with_f32_or_bf16(const char* operation, DType first, DType second, Visitor visit) {
  with_f32_or_bf16(operation, first,
                   [&](auto a) { with_f32_or_bf16(operation, second, [&](auto b) { visit(a, b); }); });
}

}  // namespace rook
