// Tells copies of a photo (encoded again, resized) from other photos, by what is on them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/image.h"

namespace rook::io {

// A difference hash: the photo's brightness shrunk to 17x16 means; a bit says whether a mean is brighter than the one
// to its left. What scaling and compressing change moves few of them.
struct NearHash {
  static constexpr int kSide = 16, kBits = kSide * kSide;
  std::array<std::uint64_t, kBits / 64> words{};
  bool operator==(const NearHash&) const = default;
};

// Up to so many different bits mean the same photo; below 0 the hash is not used. Off unless asked for: among photos of
// one scene from one place different ones may have the same hash (measured in docs/datasets.md).
inline constexpr int kNearLimit = -1;

NearHash near_hash(const Image& image);
// How many bits differ.
int distance(const NearHash& a, const NearHash& b);
// Whether the hash tells anything: a picture of one colour, or of one slope, has nearly all bits alike.
bool has_structure(const NearHash& hash);

std::string to_text(const NearHash& hash);  // hexadecimal digits
std::optional<NearHash> near_hash_from_text(std::string_view text);

}  // namespace rook::io
