// Photos in and out: decoding (JPEG, PNG, BMP, ... through stb_image), EXIF orientation, encoding, drawing boxes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace rook::io {

// 8-bit pixels [height, width, channels], rows without gaps.
struct Image {
  int width = 0, height = 0, channels = 3;
  std::vector<std::uint8_t> pixels = {};
};

enum class Exif { apply, ignore };

// Reads a picture as RGB (or grey with channels == 1): palette, grey, alpha (dropped, the colour below it is kept) and
// 16-bit files are converted, the EXIF orientation is applied. Throws Error naming the file: missing, not a picture,
// truncated, or larger than 1 GiB decoded. A JPEG that lacks but its end marker is read: all pixels are there.
Image read_image(const std::filesystem::path& file, int channels = 3, Exif exif = Exif::apply);
// The same from bytes in memory; `name` is what messages call it.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels = 3,
                   Exif exif = Exif::apply);

struct ImageSize {
  int width = 0, height = 0;  // after the orientation is applied
  int orientation = 1;        // EXIF, 1..8
  bool ended = true;          // false: a JPEG without its end marker
};
// Size without decoding the pixels, but for a JPEG without an end marker. Throws Error as read_image does, but for
// damage within the pixel data.
ImageSize read_image_size(const std::filesystem::path& file);

// Writes .jpg/.jpeg (quality 1..100) or .png by the ending, atomically (temporary name, then rename).
void write_image(const std::filesystem::path& file, const Image& image, int jpeg_quality = 90);
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality = 85);
std::vector<std::uint8_t> encode_png(const Image& image);  // four channels: the last is opacity

// A box to draw: pixels of the image, colour index (a fixed palette that repeats), text over its upper edge.
struct DrawnBox {
  float left = 0, top = 0, width = 0, height = 0;
  int color = 0;
  std::string label = {};
  bool dashed = false;
};
void draw_boxes(Image& image, std::span<const DrawnBox> boxes);

}  // namespace rook::io
