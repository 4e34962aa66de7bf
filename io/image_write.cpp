#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/image.h"

// The encoder lives in this file alone.
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace rook::io {
namespace {

void check_image(const Image& image, const std::string& name, int most_pixels_a_side, bool alpha) {
  if (image.channels != 1 && image.channels != 3 && !(alpha && image.channels == 4)) {
    throw Error(fmt::format("{}: pictures are written with 1 or 3 channels, not {}", name, image.channels));
  }
  if (image.width < 1 || image.height < 1 || image.width > most_pixels_a_side || image.height > most_pixels_a_side) {
    throw Error(fmt::format("{}: cannot write a picture of {} x {} pixels", name, image.width, image.height));
  }
  const auto bytes = std::int64_t{image.width} * image.height * image.channels;
  if (static_cast<std::int64_t>(image.pixels.size()) != bytes || bytes > (std::int64_t{1} << 30)) {
    throw Error(fmt::format("{}: {} x {} pixels of {} channels do not fit {} bytes (at most 1 GiB)", name, image.width,
                            image.height, image.channels, image.pixels.size()));
  }
}

void append(void* context, void* data, int size) {
  auto& bytes = *static_cast<std::vector<std::uint8_t>*>(context);
  const auto* first = static_cast<const std::uint8_t*>(data);
  bytes.insert(bytes.end(), first, first + size);
}

std::vector<std::uint8_t> encode_jpeg_named(const Image& image, int quality, const std::string& name) {
  constexpr int kMostPixelsASide = 65535;  // 16-bit sizes in the frame header
  check_image(image, name, kMostPixelsASide, false);
  if (quality < 1 || quality > 100) throw Error(fmt::format("{}: JPEG quality {} is not in 1..100", name, quality));
  std::vector<std::uint8_t> bytes;
  if (stbi_write_jpg_to_func(append, &bytes, image.width, image.height, image.channels, image.pixels.data(), quality) ==
      0) {
    throw Error(fmt::format("{}: cannot encode as JPEG", name));
  }
  return bytes;
}

std::vector<std::uint8_t> encode_png_named(const Image& image, const std::string& name, bool alpha) {
  check_image(image, name, 1 << 30, alpha);
  std::vector<std::uint8_t> bytes;
  if (stbi_write_png_to_func(append, &bytes, image.width, image.height, image.channels, image.pixels.data(),
                             image.width * image.channels) == 0) {
    throw Error(fmt::format("{}: cannot encode as PNG: out of memory", name));
  }
  return bytes;
}

}  // namespace

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  return encode_jpeg_named(image, quality, "picture in memory");
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  return encode_png_named(image, "picture in memory", true);
}

void write_image(const std::filesystem::path& file, const Image& image, int jpeg_quality) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  std::vector<std::uint8_t> bytes;
  if (ending == ".png") {
    bytes = encode_png_named(image, file.string(), false);
  } else if (ending == ".jpg" || ending == ".jpeg") {
    bytes = encode_jpeg_named(image, jpeg_quality, file.string());
  } else {
    throw Error(fmt::format("{}: pictures are written as .jpg, .jpeg or .png; give the file one of these endings",
                            file.string()));
  }
  write_file_atomically(file, std::as_bytes(std::span(bytes)));
}

}  // namespace rook::io
