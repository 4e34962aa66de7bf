// What a picture file says about itself without its pixels being decoded: format, size, orientation, and whether it is
// whole. The decoder (stb_image) fills what is missing with grey and reports success, so rook checks for itself.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace rook::io {

enum class PictureFormat { jpeg, png, bmp };

struct PictureInfo {
  PictureFormat format = PictureFormat::jpeg;
  int width = 0, height = 0;  // as stored: the orientation not applied
  int components = 3;         // JPEG: 1 grey, 3 colour, 4 CMYK; otherwise 3
  int orientation = 1;        // EXIF, 1..8
};

enum class PictureCheck {
  header,  // reads only up to the pixels (a PNG: up to its end)
  whole    // and walks on to the end: throws Error "truncated" for a file that was cut off, at whatever byte
};

// Whether the bytes begin as one of the formats rook reads do; nothing is said of the rest.
bool looks_like_picture(std::span<const std::uint8_t> bytes);

// Throws Error naming the picture: empty, not a picture rook reads, damaged, truncated.
PictureInfo inspect_picture(std::span<const std::uint8_t> bytes, const std::string& name, PictureCheck check);

}  // namespace rook::io
