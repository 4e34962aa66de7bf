// Small picture files made byte by byte, so that what they hold is known without any encoder, and a folder for a test.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/image.h"
#include "tests/errors.h"
#include "tests/files.h"

namespace rook::test {

using ByteVector = std::vector<std::uint8_t>;

// A new empty folder that is gone with its content afterwards.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rook-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

inline void write(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

inline void save(const std::filesystem::path& file, std::span<const std::uint8_t> bytes) {
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

inline ByteVector load(const std::filesystem::path& file) {
  return bytes_of<ByteVector>(file);
}

// Whether a message has these words, in one line.
inline bool says(const std::string& message, const char* words) {
  return message.find(words) != std::string::npos && message.find('\n') == std::string::npos;
}

// Byte by byte: GCC 12 takes inserting a range into a vector it knows to be empty for an overflow.
inline void add(ByteVector& out, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) out.push_back(byte);
}
inline void add(ByteVector& out, std::string_view text) {
  for (const char letter : text) out.push_back(static_cast<std::uint8_t>(letter));
}
inline void add_big(ByteVector& out, std::uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}
inline void add_little(ByteVector& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

// --- EXIF

// A TIFF structure with two entries, the second of which is the orientation.
inline ByteVector make_exif(int orientation, bool little) {
  ByteVector out;
  const auto number = [&](std::uint32_t value, int bytes) {
    little ? add_little(out, value, bytes) : add_big(out, value, bytes);
  };
  add(out, little ? "II" : "MM");
  number(42, 2);
  number(8, 4);
  number(2, 2);
  number(0x010F, 2), number(2, 2), number(4, 4), add(out, std::string_view("me\0\0", 4));  // Make
  number(0x0112, 2), number(3, 2), number(1, 4), number(static_cast<std::uint32_t>(orientation), 2), number(0, 2);
  number(0, 4);  // no further directory
  return out;
}

// --- PNG

inline void add_chunk(ByteVector& out, std::string_view type, const ByteVector& data) {
  add_big(out, static_cast<std::uint32_t>(data.size()), 4);
  const std::size_t checked = out.size();
  add(out, type);
  add(out, data);
  std::uint32_t crc = 0xFFFFFFFFu;  // bit by bit: unlike the table of the code under test
  for (std::size_t i = checked; i < out.size(); ++i) {
    crc ^= out[i];
    for (int k = 0; k < 8; ++k) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  add_big(out, ~crc, 4);
}

struct PngParts {
  std::uint32_t width = 1, height = 1;
  int bits = 8, color_type = 2;  // 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  ByteVector rows;               // each with its filter byte, 0, before it; at most 65535 bytes
  ByteVector palette = {}, transparency = {}, exif = {};
  bool exif_last = false;  // after the pixels
};

inline ByteVector make_png(const PngParts& parts) {
  ByteVector out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  ByteVector header;
  add_big(header, parts.width, 4);
  add_big(header, parts.height, 4);
  for (const int value : {parts.bits, parts.color_type, 0, 0, 0}) header.push_back(static_cast<std::uint8_t>(value));
  add_chunk(out, "IHDR", header);
  if (!parts.exif.empty() && !parts.exif_last) add_chunk(out, "eXIf", parts.exif);
  if (!parts.palette.empty()) add_chunk(out, "PLTE", parts.palette);
  if (!parts.transparency.empty()) add_chunk(out, "tRNS", parts.transparency);
  ByteVector zlib = {0x78, 0x01, 0x01};  // one stored block
  const auto size = static_cast<std::uint32_t>(parts.rows.size());
  add_little(zlib, size, 2);
  add_little(zlib, ~size, 2);
  add(zlib, parts.rows);
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : parts.rows) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  add_big(zlib, b << 16 | a, 4);
  add_chunk(out, "IDAT", zlib);
  if (!parts.exif.empty() && parts.exif_last) add_chunk(out, "eXIf", parts.exif);
  add_chunk(out, "IEND", {});
  return out;
}

// --- JPEG

// A JPEG of flat 8x8 blocks. With all quantizers 1 and only the DC coefficient 8 (v - 128), every pixel of a
// block has exactly the value v. DC categories have 4-bit codes equal to themselves; the only AC code is "0", end of
// block.
struct JpegParts {
  int blocks_x = 1, blocks_y = 1;
  std::vector<ByteVector> components;  // each [blocks_y, blocks_x] values
  bool progressive = false;            // one scan of DC coefficients
  int adobe_transform = -1;            // of an Adobe APP14 segment, -1: none
  ByteVector app1 = {};                // payload, with its "Exif\0\0"
};

inline void add_segment(ByteVector& out, std::uint8_t marker, const ByteVector& payload) {
  out.push_back(0xFF);
  out.push_back(marker);
  add_big(out, static_cast<std::uint32_t>(payload.size() + 2), 2);
  add(out, payload);
}

inline void add_flat_blocks(ByteVector& out, const JpegParts& parts) {
  std::uint32_t buffer = 0;
  int held = 0;
  const auto put = [&](std::uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) {
      buffer = buffer << 1 | (value >> i & 1);
      if (++held < 8) continue;
      out.push_back(static_cast<std::uint8_t>(buffer));
      if (out.back() == 0xFF) out.push_back(0);
      held = 0;
    }
  };
  std::vector<int> last(parts.components.size(), 0);
  for (std::size_t block = 0; block < parts.components[0].size(); ++block) {
    for (std::size_t c = 0; c < parts.components.size(); ++c) {
      const int dc = 8 * (parts.components[c][block] - 128);
      const int difference = dc - last[c];
      last[c] = dc;
      int category = 0;
      while (std::abs(difference) >> category != 0) ++category;
      put(static_cast<std::uint32_t>(category), 4);
      put(static_cast<std::uint32_t>(difference < 0 ? difference - 1 : difference), category);
      if (!parts.progressive) put(0, 1);
    }
  }
  while (held != 0) put(1, 1);
}

inline ByteVector make_jpeg(const JpegParts& parts) {
  ByteVector out = {0xFF, 0xD8};
  if (!parts.app1.empty()) add_segment(out, 0xE1, parts.app1);
  if (parts.adobe_transform >= 0) {
    ByteVector adobe = {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0};
    adobe.push_back(static_cast<std::uint8_t>(parts.adobe_transform));
    add_segment(out, 0xEE, adobe);
  }
  ByteVector quantizers(65, 1);
  quantizers[0] = 0;
  add_segment(out, 0xDB, quantizers);
  const auto count = static_cast<std::uint8_t>(parts.components.size());
  ByteVector frame = {8};
  add_big(frame, static_cast<std::uint32_t>(8 * parts.blocks_y), 2);
  add_big(frame, static_cast<std::uint32_t>(8 * parts.blocks_x), 2);
  frame.push_back(count);
  ByteVector scan = {count};
  for (std::uint8_t c = 1; c <= count; ++c) {
    add(frame, ByteVector{c, 0x11, 0});
    add(scan, ByteVector{c, 0});
  }
  add(scan, ByteVector{0, static_cast<std::uint8_t>(parts.progressive ? 0 : 63), 0});
  add_segment(out, parts.progressive ? 0xC2 : 0xC0, frame);
  ByteVector dc = {0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (std::uint8_t category = 0; category < 12; ++category) dc.push_back(category);
  add_segment(out, 0xC4, dc);
  add_segment(out, 0xC4, {0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00});
  add_segment(out, 0xDA, scan);
  add_flat_blocks(out, parts);
  add(out, ByteVector{0xFF, 0xD9});
  return out;
}

// APP1 as cameras write it: EXIF, and within it a complete JPEG as thumbnail, end marker and all.
inline ByteVector make_app1(int orientation, bool little) {
  ByteVector out;
  add(out, std::string_view("Exif\0\0", 6));
  add(out, make_exif(orientation, little));
  add(out, make_jpeg({.components = {{50}}}));
  return out;
}

// --- BMP: 24 bits, rows from the bottom up.

inline ByteVector make_bmp(int width, int height, const ByteVector& bgr) {
  const std::size_t row = static_cast<std::size_t>(width) * 3, padding = (4 - row % 4) % 4;
  ByteVector pixels;
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    add(pixels, std::span(bgr).subspan(y * row, row));
    pixels.resize(pixels.size() + padding, 0);
  }
  ByteVector out = {'B', 'M'};
  for (const std::size_t value : {54 + pixels.size(), std::size_t{0}, std::size_t{54}, std::size_t{40}}) {
    add_little(out, static_cast<std::uint32_t>(value), 4);
  }
  add_little(out, static_cast<std::uint32_t>(width), 4);
  add_little(out, static_cast<std::uint32_t>(height), 4);
  add_little(out, 1, 2);
  add_little(out, 24, 2);
  for (int i = 0; i < 6; ++i) add_little(out, 0, 4);
  add(out, pixels);
  return out;
}

inline io::Image smooth_picture(int width, int height, int channels) {
  io::Image image{.width = width, .height = height, .channels = channels};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<std::uint8_t>(128 + 90 * std::sin(0.05 * x + c) * std::cos(0.04 * y - c)));
      }
    }
  }
  return image;
}

}  // namespace rook::test
