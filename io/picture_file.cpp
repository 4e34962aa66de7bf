#include "io/picture_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/exif.h"

namespace rook::io {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::string_view kJpegSignature = "\xFF\xD8", kPngSignature = "\x89PNG\r\n\x1a\n", kBmpSignature = "BM";

[[noreturn]] void fail_damaged(const std::string& name, const char* format, const std::string& what) {
  throw Error(fmt::format("{}: damaged {} file: {}", name, format, what));
}

bool starts_with(Bytes bytes, std::string_view prefix, std::size_t offset = 0) {
  if (bytes.size() < offset || bytes.size() - offset < prefix.size()) return false;
  return std::equal(prefix.begin(), prefix.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

std::uint32_t big_endian(Bytes bytes, std::size_t offset, std::size_t length) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < length; ++i) value = value << 8 | bytes[offset + i];
  return value;
}

std::uint32_t little_endian(Bytes bytes, std::size_t offset, std::size_t length) {
  std::uint32_t value = 0;
  for (std::size_t i = length; i-- > 0;) value = value << 8 | bytes[offset + i];
  return value;
}

// --- JPEG (ITU-T T.81, annex B): SOI, segments {0xFF, marker, length, payload}, after an SOS the entropy-coded data,
// EOI.

class JpegWalk {
 public:
  JpegWalk(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  PictureInfo run(PictureCheck check) {
    for (;;) {
      const std::uint8_t marker = next_marker();
      if (marker == kEoi) break;
      if (marker == kTem || (marker >= kRst0 && marker <= kSoi)) continue;  // stand alone
      const Bytes payload = segment();
      if (is_frame(marker)) frame(payload);
      if (is_frame(marker)) sequential_ = marker == kSof0 || marker == kSof1;
      if (marker == kDht) huffman_tables(payload);
      if (marker == kApp1 && scanned_.empty()) exif(payload);
      if (marker == kSos) {
        if (info_.width == 0) fail_damaged(name_, "JPEG", "pixel data before the size");
        if (check == PictureCheck::header) return info_;
        scan(payload);
      }
    }
    // EOI may come early in a damaged file; what no scan brings would be made up by the decoder.
    if (frame_.empty()) fail_damaged(name_, "JPEG", "no size");
    for (const std::uint8_t id : frame_) {
      if (std::find(scanned_.begin(), scanned_.end(), id) != scanned_.end()) continue;
      if (!info_.ended) fail_cut_off(name_, "JPEG", "its end marker");
      fail_damaged(name_, "JPEG", "no pixel data");
    }
    return info_;
  }

 private:
  static constexpr std::uint8_t kTem = 0x01, kRst0 = 0xD0, kSoi = 0xD8, kEoi = 0xD9, kSos = 0xDA;
  static constexpr std::uint8_t kSof0 = 0xC0, kSof1 = 0xC1, kDht = 0xC4, kApp1 = 0xE1;

  // SOF0..SOF15 without DHT, JPG and DAC, which lie among them.
  static bool is_frame(std::uint8_t marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
  }

  // Skips to the next marker: over padding between segments, or over entropy-coded data, in which 0xFF is followed by 0
  // or is a restart marker (skipped by the caller). In the pixel data of a sequential JPEG the file may end without
  // EOI: cameras and servers lose the last bytes. A progressive one could lack whole scans, which nobody would see.
  std::uint8_t next_marker() {
    for (;;) {
      const auto rest = bytes_.subspan(position_);
      position_ += static_cast<std::size_t>(std::find(rest.begin(), rest.end(), std::uint8_t{0xFF}) - rest.begin());
      while (position_ < bytes_.size() && bytes_[position_] == 0xFF) ++position_;
      if (position_ >= bytes_.size()) {
        if (scanned_.empty() || !sequential_) fail_cut_off(name_, "JPEG", "its end marker");
        info_.ended = false;
        return kEoi;
      }
      const std::uint8_t marker = bytes_[position_++];
      if (marker != 0) return marker;
    }
  }

  Bytes segment() {
    if (bytes_.size() - position_ < 2) fail_cut_off(name_, "JPEG", "its end marker");
    const std::size_t length = big_endian(bytes_, position_, 2);
    if (length < 2) fail_damaged(name_, "JPEG", "a segment of impossible length");
    if (length > bytes_.size() - position_) fail_cut_off(name_, "JPEG", "its end marker");
    const Bytes payload = bytes_.subspan(position_ + 2, length - 2);
    position_ += length;
    return payload;
  }

  void frame(Bytes payload) {
    if (!frame_.empty()) fail_damaged(name_, "JPEG", "two sizes");
    if (payload.size() < 6 || payload[5] == 0 || payload.size() < 6 + std::size_t{3} * payload[5]) {
      fail_damaged(name_, "JPEG", "broken frame header");
    }
    info_.height = static_cast<int>(big_endian(payload, 1, 2));
    info_.width = static_cast<int>(big_endian(payload, 3, 2));
    info_.components = payload[5];
    if (info_.width == 0 || info_.height == 0) fail_damaged(name_, "JPEG", "no size");
    for (std::size_t i = 0; i < payload[5]; ++i) frame_.push_back(payload[6 + 3 * i]);
  }

  // {class and index, 16 counts, as many symbols as the counts add up to, at most 256} once or more. The decoder writes
  // past its tables when there are more.
  void huffman_tables(Bytes payload) {
    constexpr std::size_t kHead = 17;
    while (!payload.empty()) {
      std::size_t symbols = 0;
      for (std::size_t i = 1; i < std::min(kHead, payload.size()); ++i) symbols += payload[i];
      if (symbols > 256 || payload.size() < kHead + symbols) fail_damaged(name_, "JPEG", "impossible Huffman table");
      payload = payload.subspan(kHead + symbols);
    }
  }

  void exif(Bytes payload) {
    using namespace std::string_view_literals;
    if (has_exif_ || !starts_with(payload, "Exif\0\0"sv)) return;
    has_exif_ = true;
    info_.orientation = exif_orientation(payload.subspan(6));
  }

  void scan(Bytes payload) {
    if (payload.empty() || payload.size() < 1 + std::size_t{2} * payload[0]) {
      fail_damaged(name_, "JPEG", "broken scan header");
    }
    for (std::size_t i = 0; i < payload[0]; ++i) scanned_.push_back(payload[1 + 2 * i]);
  }

  Bytes bytes_;
  const std::string& name_;
  std::size_t position_ = 2;  // after SOI
  PictureInfo info_{.format = PictureFormat::jpeg};
  bool has_exif_ = false;
  bool sequential_ = false;
  std::vector<std::uint8_t> frame_, scanned_;  // component ids
};

// --- PNG (ISO/IEC 15948): signature, chunks {length, type, data, CRC of type and data}, from IHDR to IEND.

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
    table[n] = c;
  }
  return table;
}();

std::uint32_t crc_of(Bytes bytes) {
  std::uint32_t c = 0xFFFFFFFFu;
  for (const std::uint8_t byte : bytes) c = kCrcTable[(c ^ byte) & 0xFF] ^ c >> 8;
  return c ^ 0xFFFFFFFFu;
}

PictureInfo walk_png(Bytes bytes, const std::string& name, PictureCheck check) {
  PictureInfo info{.format = PictureFormat::png};
  bool pixels = false;
  for (std::size_t position = kPngSignature.size();;) {
    if (bytes.size() - position < 12) fail_cut_off(name, "PNG", "its end chunk");
    const std::size_t length = big_endian(bytes, position, 4);
    if (length > bytes.size() - position - 12) fail_cut_off(name, "PNG", "its end chunk");
    const Bytes checked = bytes.subspan(position + 4, 4 + length);
    const Bytes data = checked.subspan(4);
    const bool critical = (checked[0] & 0x20) == 0;
    const bool is_exif = starts_with(checked, "eXIf");
    // Pixels are checksummed only when they are wanted; a damaged comment makes no picture unreadable.
    if (is_exif || (critical && (check == PictureCheck::whole || !starts_with(checked, "IDAT")))) {
      const bool intact = crc_of(checked) == big_endian(bytes, position + 8 + length, 4);
      if (!intact && critical) fail_damaged(name, "PNG", fmt::format("wrong checksum at byte {}", position));
      if (intact && is_exif) info.orientation = exif_orientation(data);
    }
    if (starts_with(checked, "IHDR") && length == 13) {
      const std::uint32_t width = big_endian(data, 0, 4), height = big_endian(data, 4, 4);
      constexpr std::uint32_t kMost = std::numeric_limits<std::int32_t>::max();
      if (width == 0 || height == 0 || width > kMost || height > kMost) fail_damaged(name, "PNG", "impossible size");
      info.width = static_cast<int>(width);
      info.height = static_cast<int>(height);
    }
    if (info.width == 0) fail_damaged(name, "PNG", "no size");
    pixels = pixels || starts_with(checked, "IDAT");
    if (starts_with(checked, "IEND")) break;
    position += 12 + length;
  }
  if (!pixels) fail_damaged(name, "PNG", "no pixel data");
  return info;
}

// --- BMP: file header {"BM", size, 4 bytes, offset of the pixels}, info header {its size, width, height, 2 bytes,
// bits, ...}.

PictureInfo walk_bmp(Bytes bytes, const std::string& name, PictureCheck check) {
  constexpr std::size_t kSmallestHeader = 14 + 12;
  if (bytes.size() < kSmallestHeader) fail_cut_off(name, "BMP", "its pixels");
  const std::size_t header = little_endian(bytes, 14, 4);
  const bool old_header = header == 12;  // OS/2 1.x: 16-bit sizes
  if (!old_header && bytes.size() < 14 + 20) fail_cut_off(name, "BMP", "its pixels");
  const std::size_t wide = old_header ? 2 : 4;
  const auto signed_at = [&](std::size_t offset) {
    const std::uint32_t value = little_endian(bytes, offset, wide);
    return old_header ? static_cast<std::int64_t>(value) : static_cast<std::int64_t>(static_cast<std::int32_t>(value));
  };
  const std::int64_t width = signed_at(18);
  const std::int64_t height = std::abs(signed_at(18 + wide));  // negative: rows from top to bottom
  if (width <= 0 || height == 0 || height > std::numeric_limits<std::int32_t>::max()) {
    fail_damaged(name, "BMP", "impossible size");
  }
  if (check == PictureCheck::whole) {
    const std::uint64_t pixels = little_endian(bytes, 10, 4);
    const std::uint64_t bits = little_endian(bytes, 18 + 2 * wide + 2, 2);
    const std::uint64_t row_bits = static_cast<std::uint64_t>(width) * bits;
    const std::uint64_t row = (row_bits + 31) / 32 * 4, last_row = (row_bits + 7) / 8;  // rows are padded to 4 bytes
    // Compressed pixels, for which this would be wrong, are refused by the decoder anyway.
    if (bytes.size() < pixels + row * static_cast<std::uint64_t>(height - 1) + last_row) {
      fail_cut_off(name, "BMP", "its last pixel");
    }
  }
  PictureInfo info{.format = PictureFormat::bmp};
  info.width = static_cast<int>(width);
  info.height = static_cast<int>(height);
  return info;
}

// Formats people have but rook does not read, so that the message can say what the file is.
std::optional<std::string_view> other_format(Bytes bytes) {
  if (starts_with(bytes, "GIF8")) return "a GIF";
  if (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8)) return "a WebP";
  if (starts_with(bytes, "II*") || starts_with(bytes, "MM")) return "a TIFF or raw photo";
  if (starts_with(bytes, "ftypavif", 4)) return "an AVIF";
  if (starts_with(bytes, "ftyp", 4)) return "a HEIC photo or a video";
  if (starts_with(bytes, "%PDF")) return "a PDF";
  return std::nullopt;
}

}  // namespace

void fail_cut_off(const std::string& name, const char* format, const char* missing) {
  throw Error(fmt::format("{}: truncated: the {} file ends before {}; copy it again", name, format, missing));
}

bool has_end(PictureFormat format, Bytes last_bytes) {
  using namespace std::string_view_literals;
  // EOI; IEND, which has no data, with its checksum. Of a BMP nothing says the end but the size of its pixels.
  const std::string_view end = format == PictureFormat::jpeg  ? "\xFF\xD9"sv
                               : format == PictureFormat::png ? "\0\0\0\0IEND\xAE\x42\x60\x82"sv
                                                              : ""sv;
  return !end.empty() && last_bytes.size() >= end.size() &&
         starts_with(last_bytes, end, last_bytes.size() - end.size());
}

bool looks_like_picture(Bytes bytes) {
  return starts_with(bytes, kJpegSignature) || starts_with(bytes, kPngSignature) || starts_with(bytes, kBmpSignature);
}

PictureInfo inspect_picture(Bytes bytes, const std::string& name, PictureCheck check) {
  if (bytes.empty()) throw Error(fmt::format("{}: the file is empty", name));
  if (starts_with(bytes, kJpegSignature)) return JpegWalk(bytes, name).run(check);
  if (starts_with(bytes, kPngSignature)) return walk_png(bytes, name, check);
  if (starts_with(bytes, kBmpSignature)) return walk_bmp(bytes, name, check);
  if (const auto other = other_format(bytes)) {
    throw Error(fmt::format("{}: is {} file, which rook does not read; convert it to JPEG or PNG", name, *other));
  }
  throw Error(fmt::format("{}: not a picture rook reads (JPEG, PNG, BMP)", name));
}

}  // namespace rook::io
