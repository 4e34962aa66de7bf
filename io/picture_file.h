// What a picture file says about itself without its pixels being decoded: format, size, orientation, and whether it is
// whole. The decoder (stb_image) fills what is missing with grey and reports success, so rook checks for itself.
#pragma once

#include <cstddef>
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
  bool ended = true;          // false: a JPEG whose pixel data runs on to the end of the file; it may be cut off
};

enum class PictureCheck {
  header,  // reads only up to the pixels (a PNG: up to its end)
  whole  // and walks on to the end: throws Error "truncated" for a file that was cut off, at whatever byte, but leaves
         // to the decoder (`ended`) whether a baseline JPEG without its end marker has all its pixels
};

// Whether the bytes begin as one of the formats rook reads do; nothing is said of the rest.
bool looks_like_picture(std::span<const std::uint8_t> bytes);

// Whether a file that ends with these bytes (kEndBytes, or all there are) was not cut off, as good as certainly: they
// are the format's end. False says nothing: there may be other bytes after the end.
inline constexpr std::size_t kEndBytes = 12;
bool has_end(PictureFormat format, std::span<const std::uint8_t> last_bytes);

[[noreturn]] void fail_cut_off(const std::string& name, const char* format, const char* missing);

// Throws Error naming the picture: empty, not a picture rook reads, damaged, truncated.
PictureInfo inspect_picture(std::span<const std::uint8_t> bytes, const std::string& name, PictureCheck check);

}  // namespace rook::io
