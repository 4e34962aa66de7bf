// Tells copies of a photo (encoded again, resized) from other photos, by what is on them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/image.h"

namespace rook::io {

// A difference hash: the photo's brightness shrunk to 17x16 means; a bit says whether a mean is brighter than the one
// to its left. What scaling and compressing change moves few of them.
struct NearHash {
  static constexpr int kSide = 16, kBits = kSide * kSide;
  std::array<std::uint64_t, kBits / 64> words{};
  bool operator==(const NearHash&) const = default;
};

// Up to so many different bits make a photo a candidate: on photos of one scene from one place the hashes of different
// photos may be equal, so a thumbnail decides.
inline constexpr int kNearLimit = 8;

NearHash near_hash(const Image& image);
// How many bits differ.
int distance(const NearHash& a, const NearHash& b);
// Whether the hash tells anything: a picture of one colour, or of one slope, has nearly all bits alike.
bool has_structure(const NearHash& hash);

// Mean brightness of 32x32 equal parts, 0..255: fine enough for a piece that was moved, coarse enough for JPEG.
using Thumbnail = std::vector<float>;
Thumbnail thumbnail(const Image& image);
// The greatest difference of two parts. Up to kThumbnailLimit is the same photo (measured in docs/datasets.md).
float difference(const Thumbnail& a, const Thumbnail& b);
inline constexpr float kThumbnailLimit = 1.25f;

std::string to_text(const NearHash& hash);  // hexadecimal digits
std::optional<NearHash> near_hash_from_text(std::string_view text);

}  // namespace rook::io
