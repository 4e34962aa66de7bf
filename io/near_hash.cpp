#include "io/near_hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <vector>

namespace rook::io {
namespace {

constexpr int kWordDigits = 16;  // of a word
constexpr int kThumbnailSide = 32;

// Of 255. Below it lies what rounding and compressing make of even areas.
constexpr double kMargin = 1;

// Rec. 601, as JPEG has it: what compressing keeps best.
double brightness(const std::uint8_t* pixel, int channels) {
  return channels == 3 ? 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] : pixel[0];
}

// The mean of each of `columns` equal parts of a row; parts end anywhere within a pixel.
std::vector<double> row_means(const Image& image, int y, int columns, std::vector<double>& sums) {
  const std::uint8_t* row = image.pixels.data() + static_cast<std::size_t>(y) * image.width * image.channels;
  for (int x = 0; x < image.width; ++x)
    sums[static_cast<std::size_t>(x) + 1] =
        sums[static_cast<std::size_t>(x)] +
        brightness(row + static_cast<std::size_t>(x) * image.channels, image.channels);
  const auto sum_to = [&](double x) {
    const auto whole = std::min(static_cast<std::size_t>(x), static_cast<std::size_t>(image.width) - 1);
    return sums[whole] + (x - static_cast<double>(whole)) * (sums[whole + 1] - sums[whole]);
  };
  std::vector<double> means;
  const double part = static_cast<double>(image.width) / columns;
  for (int i = 0; i < columns; ++i) means.push_back((sum_to((i + 1) * part) - sum_to(i * part)) / part);
  return means;
}

// Mean brightness of rows x columns equal parts of the picture.
std::vector<std::vector<double>> shrink(const Image& image, int rows, int columns) {
  std::vector<std::vector<double>> parts(static_cast<std::size_t>(rows),
                                         std::vector<double>(static_cast<std::size_t>(columns)));
  std::vector<double> sums(static_cast<std::size_t>(image.width) + 1);
  const double part = static_cast<double>(image.height) / rows;
  for (int y = 0; y < image.height; ++y) {
    const std::vector<double> means = row_means(image, y, columns, sums);
    for (int r = static_cast<int>(y / part); r < rows && r * part < y + 1; ++r) {
      const double share = std::max(0.0, std::min(y + 1.0, (r + 1) * part) - std::max<double>(y, r * part)) / part;
      for (std::size_t i = 0; i < means.size(); ++i) parts[static_cast<std::size_t>(r)][i] += share * means[i];
    }
  }
  return parts;
}

}  // namespace

NearHash near_hash(const Image& image) {
  const auto parts = shrink(image, NearHash::kSide, NearHash::kSide + 1);
  NearHash hash;
  for (int bit = 0; bit < NearHash::kBits; ++bit) {
    const auto& row = parts[static_cast<std::size_t>(bit / NearHash::kSide)];
    const auto column = static_cast<std::size_t>(bit % NearHash::kSide);
    if (row[column + 1] > row[column] + kMargin)
      hash.words[static_cast<std::size_t>(bit / 64)] |= std::uint64_t{1} << bit % 64;
  }
  return hash;
}

int distance(const NearHash& a, const NearHash& b) {
  int bits = 0;
  for (std::size_t i = 0; i < a.words.size(); ++i) bits += std::popcount(a.words[i] ^ b.words[i]);
  return bits;
}

bool has_structure(const NearHash& hash) {
  constexpr int kLeast = NearHash::kBits / 8;
  const int set = distance(hash, NearHash{});
  return set >= kLeast && set <= NearHash::kBits - kLeast;
}

Thumbnail thumbnail(const Image& image) {
  Thumbnail result;
  for (const std::vector<double>& row : shrink(image, kThumbnailSide, kThumbnailSide))
    for (const double mean : row) result.push_back(static_cast<float>(mean));
  return result;
}

float difference(const Thumbnail& a, const Thumbnail& b) {
  float greatest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) greatest = std::max(greatest, std::abs(a[i] - b[i]));
  return greatest;
}

std::string to_text(const NearHash& hash) {
  std::string text;
  for (const std::uint64_t word : hash.words) text += fmt::format("{:016x}", word);
  return text;
}

std::optional<NearHash> near_hash_from_text(std::string_view text) {
  NearHash hash;
  if (text.size() != hash.words.size() * kWordDigits) return std::nullopt;
  for (std::size_t i = 0; i < hash.words.size(); ++i) {
    const char *begin = text.data() + i * kWordDigits, *end = begin + kWordDigits;
    const auto [rest, failure] = std::from_chars(begin, end, hash.words[i], 16);
    if (failure != std::errc() || rest != end) return std::nullopt;
  }
  if (to_text(hash) != text) return std::nullopt;  // capitals
  return hash;
}

}  // namespace rook::io
