// Whether this is a build under AddressSanitizer, in which everything takes several times as long.
#pragma once

namespace rook::test {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace rook::test
