#include "io/exif.h"

#include <cstddef>

namespace rook::io {
namespace {

// Bounds-checked numbers of either byte order; what lies outside reads as 0.
struct TiffBytes {
  std::span<const std::uint8_t> bytes;
  bool little = true;

  std::uint32_t number(std::size_t offset, std::size_t length) const {
    if (offset > bytes.size() || length > bytes.size() - offset) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < length; ++i) {
      const std::size_t at = little ? offset + length - 1 - i : offset + i;
      value = value << 8 | bytes[at];
    }
    return value;
  }
  std::uint32_t u16(std::size_t offset) const { return number(offset, 2); }
  std::uint32_t u32(std::size_t offset) const { return number(offset, 4); }
};

}  // namespace

// TIFF 6.0, section 2: "II" or "MM", 42, the offset of the first directory; a directory is a count and entries of 12
// bytes {tag, type, count, value}; tag 0x0112 is the orientation, a SHORT (type 3), which some write as a LONG (4).
int exif_orientation(std::span<const std::uint8_t> tiff) {
  constexpr std::uint32_t kMagic = 42, kOrientation = 0x0112, kShort = 3, kLong = 4;
  constexpr std::size_t kEntryBytes = 12;
  if (tiff.size() < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
  const TiffBytes data{.bytes = tiff, .little = tiff[0] == 'I'};
  if (data.u16(2) != kMagic) return 1;
  const std::size_t directory = data.u32(4);
  const std::size_t entries = data.u16(directory);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (entry + kEntryBytes > tiff.size()) return 1;
    if (data.u16(entry) != kOrientation) continue;
    const std::uint32_t type = data.u16(entry + 2);
    if ((type != kShort && type != kLong) || data.u32(entry + 4) != 1) return 1;
    const std::uint32_t value = type == kShort ? data.u16(entry + 8) : data.u32(entry + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace rook::io
