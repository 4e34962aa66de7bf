#include "model/report_html.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace rook {
namespace {

// Length of the UTF-8 sequence at the front of `text`; 0 when there is none that is valid (RFC 3629, section 4) and a
// character that XML allows.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  std::uint32_t code = first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool forbidden = (code >= 0xd800 && code < 0xe000) || code > 0x10ffff || code == 0xfffe || code == 0xffff;
  return overlong || forbidden ? 0 : length;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? kDigits[bits >> (18 - 6 * k) & 63u] : '=';
  }
  return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) {
      escaped += "\xef\xbf\xbd";
    } else if (text[0] == '&') {
      escaped += "&amp;";
    } else if (text[0] == '<') {
      escaped += "&lt;";
    } else if (text[0] == '>') {
      escaped += "&gt;";
    } else if (text[0] == '"') {
      escaped += "&quot;";
    } else if (text[0] == '\'') {
      escaped += "&#39;";
    } else {
      escaped += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return escaped;
}

io::Image shrink(const io::Image& image, int factor) {
  io::Image small{image.width / factor, image.height / factor, image.channels, {}};
  small.pixels.reserve(static_cast<std::size_t>(small.width) * static_cast<std::size_t>(small.height) *
                       static_cast<std::size_t>(small.channels));
  const int area = factor * factor;
  const auto step = static_cast<std::size_t>(factor);
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      for (int c = 0; c < small.channels; ++c) {
        int sum = area / 2;
        for (int k = 0; k < area; ++k) {
          const auto row = static_cast<std::size_t>(y) * step + static_cast<std::size_t>(k / factor);
          const auto column = static_cast<std::size_t>(x) * step + static_cast<std::size_t>(k % factor);
          sum += image.pixels[(row * static_cast<std::size_t>(image.width) + column) *
                                  static_cast<std::size_t>(image.channels) +
                              static_cast<std::size_t>(c)];
        }
        small.pixels.push_back(static_cast<std::uint8_t>(sum / area));
      }
    }
  }
  return small;
}

io::Image fit_width(const io::Image& image, int width) {
  if (image.width <= width) return image;
  io::Image small{.width = width,
                  .height = std::max(1, image.height * width / image.width),
                  .channels = image.channels,
                  .pixels = {}};
  small.pixels.resize(static_cast<std::size_t>(small.width) * static_cast<std::size_t>(small.height) *
                      static_cast<std::size_t>(small.channels));
  cpu::resize({.pixels = image.pixels.data(),
               .width = image.width,
               .height = image.height,
               .channels = image.channels,
               .y = make_tensor(small.pixels.data(), DType::u8, 1, small.height, small.width, small.channels),
               .resampling = Resampling::area});
  return small;
}

std::string data_url(const io::Image& image, int most) {
  const int factor = (std::max(image.width, image.height) + most - 1) / most;
  const bool fits = factor <= 1 || image.width < factor || image.height < factor;
  return "data:image/jpeg;base64," + base64(fits ? io::encode_jpeg(image) : io::encode_jpeg(shrink(image, factor)));
}

std::string png_url(const io::Image& image) {
  return "data:image/png;base64," + base64(io::encode_png(image));
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 1e6 && size < 1e12)
    return size >= 1e9 ? fmt::format("{:.4g}G", value / 1e9) : fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4 && size < 1e12) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value == 0 ? 0.0 : value);
}

std::optional<double> number_of(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

}  // namespace rook
