#include "io/image.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

#include "base/error.h"
#include "io/file_reader.h"
#include "io/picture_file.h"

namespace rook::io {
namespace {

// Zeroed memory for the decoder. Its planes are touched once and given back, so that small pages cost more than the
// decoding itself (2048x1371: 8 ms); huge pages, where the system grants them, halve the whole.
void* decoder_memory(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{1} << 21;
  if (bytes < 2 * kHugePage) return std::calloc(1, bytes);
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, rounded);
  if (memory == nullptr) return nullptr;
  ::madvise(memory, rounded, MADV_HUGEPAGE);  // only a wish
  return std::memset(memory, 0, bytes);
}

}  // namespace
}  // namespace rook::io

// The decoder lives in this file alone. Only formats whose files can be checked for being whole; memory zeroed, so that
// a damaged file decodes to the same pixels every time. SSE2 is on wherever the compiler has it.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_ASSERT(condition) static_cast<void>(0)
#define STBI_MALLOC(bytes) rook::io::decoder_memory(bytes)
#define STBI_REALLOC(pointer, bytes) std::realloc(pointer, bytes)
#define STBI_FREE(pointer) std::free(pointer)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of a reader that a picture in memory does not have
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace rook::io {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;  // of a decoded picture

// Where the pixels of the upright picture lie in the stored one: (x, y) is at origin + x * step_x + y * step_y, in
// pixels.
struct Orientation {
  int width, height;  // upright
  std::ptrdiff_t origin, step_x, step_y;
};

// EXIF 2.3, tag 0x0112: which corner of the upright picture the stored first row and first column are.
Orientation orient(int width, int height, int exif) {
  const std::ptrdiff_t row = width;
  const std::ptrdiff_t right = width - 1, bottom = (height - 1) * row;  // offsets of the last column and the last row
  switch (exif) {
    case 2:
      return {width, height, right, -1, row};
    case 3:
      return {width, height, right + bottom, -1, -row};
    case 4:
      return {width, height, bottom, 1, -row};
    case 5:
      return {height, width, 0, row, 1};
    case 6:
      return {height, width, bottom, -row, 1};
    case 7:
      return {height, width, right + bottom, -row, -1};
    case 8:
      return {height, width, right, row, -1};
    default:
      return {width, height, 0, 1, row};
  }
}

// Copies the pixels upright, leaving out what follows the first `kTo` of `kFrom` bytes of each.
template <int kFrom, int kTo>
void copy_pixels(const std::uint8_t* stored, const Orientation& upright, std::uint8_t* out) {
  for (int y = 0; y < upright.height; ++y) {
    const std::uint8_t* from = stored + kFrom * (upright.origin + y * upright.step_y);
    if (upright.step_x == 1) {  // with a stride known at compile time the loop is vectorised
      for (std::ptrdiff_t x = 0; x < upright.width; ++x) {
        for (int c = 0; c < kTo; ++c) out[x * kTo + c] = from[x * kFrom + c];
      }
    } else {
      for (std::ptrdiff_t x = 0; x < upright.width; ++x) {
        for (int c = 0; c < kTo; ++c) out[x * kTo + c] = from[x * kFrom * upright.step_x + c];
      }
    }
    out += std::ptrdiff_t{kTo} * upright.width;
  }
}

void check_size(const PictureInfo& info, const std::string& name, int channels) {
  const std::int64_t limit = kMostBytes / channels / info.height;
  if (info.width <= limit) return;
  throw Error(fmt::format("{}: {} x {} pixels would take more than 1 GiB decoded; make the picture smaller", name,
                          info.width, info.height));
}

void check_file_size(const FileReader& reader) {
  if (reader.size() <= static_cast<std::uint64_t>(std::numeric_limits<int>::max())) return;
  throw Error(
      fmt::format("{}: {} bytes are too many for a picture file (at most 2 GiB)", reader.name(), reader.size()));
}

void read_more(FileReader& reader, std::vector<std::uint8_t>& bytes, std::uint64_t size) {
  const std::size_t before = bytes.size();
  bytes.resize(size);
  reader.read(std::as_writable_bytes(std::span(bytes).subspan(before)));
}

using StoredPixels = std::unique_ptr<stbi_uc, decltype(&stbi_image_free)>;

StoredPixels decode_stored(std::span<const std::uint8_t> bytes, const PictureInfo& info, const std::string& name,
                           int channels) {
  int width = 0, height = 0, stored_channels = 0;
  StoredPixels stored(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &stored_channels, channels),
      &stbi_image_free);
  if (!stored) throw Error(fmt::format("{}: cannot be decoded: {}", name, stbi_failure_reason()));
  if (width != info.width || height != info.height) throw Error(fmt::format("{}: damaged: two sizes", name));
  return stored;
}

// A JPEG that has no end marker. Where pixels are missing the decoder makes them up from what follows: all are there
// when zeros and ones after the end give the same picture (0xFE, as 0xFF begins a marker).
StoredPixels decode_without_end(std::span<const std::uint8_t> bytes, const PictureInfo& info, const std::string& name,
                                int channels) {
  constexpr std::size_t kMore = 64;  // bytes; more than the decoder reads ahead
  while (!bytes.empty() && bytes.back() == 0xFF) bytes = bytes.first(bytes.size() - 1);  // half a marker
  const auto decode = [&](std::uint8_t filling) {
    std::vector<std::uint8_t> longer(bytes.begin(), bytes.end());
    longer.insert(longer.end(), kMore, filling);
    longer.insert(longer.end(), {0xFF, 0xD9});
    return decode_stored(longer, info, name, channels);
  };
  try {
    StoredPixels zeros = decode(0x00), ones = decode(0xFE);
    const std::size_t size = static_cast<std::size_t>(info.width) * static_cast<std::size_t>(info.height) *
                             static_cast<std::size_t>(channels);
    if (std::memcmp(zeros.get(), ones.get(), size) == 0) return zeros;
  } catch (const Error&) {  // what follows was taken for a part of the picture
  }
  fail_cut_off(name, "JPEG", "its last row");
}

}  // namespace

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels, Exif exif) {
  if (channels != 1 && channels != 3) {
    throw Error(fmt::format("{}: pictures are decoded with 1 or 3 channels, not {}", name, channels));
  }
  const PictureInfo info = inspect_picture(bytes, name, PictureCheck::whole);
  check_size(info, name, channels);
  // stb's SSE2 conversion of YCbCr writes 4 bytes per pixel only; dropping one is cheaper than its 3-byte loop.
  const bool through_rgba = channels == 3 && info.format == PictureFormat::jpeg && info.components >= 3;
  const int width = info.width, height = info.height;
  const StoredPixels stored =
      (info.ended ? decode_stored : decode_without_end)(bytes, info, name, through_rgba ? 4 : channels);
  const Orientation upright = orient(width, height, exif == Exif::apply ? info.orientation : 1);
  Image image{.width = upright.width, .height = upright.height, .channels = channels};
  image.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                      static_cast<std::size_t>(channels));
  if (through_rgba) {
    copy_pixels<4, 3>(stored.get(), upright, image.pixels.data());
  } else if (channels == 3) {
    copy_pixels<3, 3>(stored.get(), upright, image.pixels.data());
  } else {
    copy_pixels<1, 1>(stored.get(), upright, image.pixels.data());
  }
  return image;
}

Image read_image(const std::filesystem::path& file, int channels, Exif exif) {
  FileReader reader(file);
  check_file_size(reader);
  std::vector<std::uint8_t> bytes;
  read_more(reader, bytes, reader.size());
  return decode_image(bytes, reader.name(), channels, exif);
}

ImageSize read_image_size(const std::filesystem::path& file) {
  constexpr std::uint64_t kHead =
      1 << 17;  // holds the metadata of nearly all photos: EXIF and its thumbnail are < 64 KiB
  FileReader reader(file);
  check_file_size(reader);
  std::vector<std::uint8_t> bytes;
  read_more(reader, bytes, std::min(reader.size(), kHead));
  PictureInfo info;
  try {
    info = inspect_picture(bytes, reader.name(), PictureCheck::header);
  } catch (const Error&) {
    if (bytes.size() == reader.size()) throw;
    read_more(reader, bytes, reader.size());  // the head did not say enough
    info = inspect_picture(bytes, reader.name(), PictureCheck::header);
  }
  // A photo that was cut off is found by its end; the few without a clean end are read whole.
  std::vector<std::uint8_t> end(std::min<std::uint64_t>(reader.size(), kEndBytes));
  reader.seek(reader.size() - end.size());
  reader.read(std::as_writable_bytes(std::span(end)));
  if (!has_end(info.format, end)) {
    reader.seek(bytes.size());
    read_more(reader, bytes, reader.size());
    info = inspect_picture(bytes, reader.name(), PictureCheck::whole);
    if (!info.ended) decode_image(bytes, reader.name());  // throws where rows are missing
  }
  const Orientation upright = orient(info.width, info.height, info.orientation);
  return {.width = upright.width, .height = upright.height, .orientation = info.orientation, .ended = info.ended};
}

}  // namespace rook::io
