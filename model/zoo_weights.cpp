// The bytes of our own weights. The assembler puts them into the program: as numbers in C++ they would take minutes to
// compile.
#include "model/zoo.h"

#ifndef ROOK_RENDERED_WEIGHTS
#error "CMake says where they are"
#endif

asm(R"(
    .section .rodata
    .balign 16
    .hidden rook_rendered_begin, rook_rendered_end
    .global rook_rendered_begin, rook_rendered_end
rook_rendered_begin:
    .incbin ")" ROOK_RENDERED_WEIGHTS R"("
rook_rendered_end:
    .previous
)");

extern "C" {
[[gnu::visibility("hidden")]] extern const std::byte rook_rendered_begin[];
[[gnu::visibility("hidden")]] extern const std::byte rook_rendered_end[];
}

namespace rook {

std::span<const std::byte> rendered_weights() {
  return {rook_rendered_begin, rook_rendered_end};
}

}  // namespace rook
