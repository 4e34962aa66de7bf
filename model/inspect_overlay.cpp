#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>

#include "model/inspect_parts.h"
#include "model/report_html.h"

namespace rook {
namespace {

constexpr int kMapSide = 104;   // pixels of a channel's picture at most
constexpr int kExactSide = 32;  // up to this size every cell is kept as it is

using Colour = std::array<double, 3>;

// Between the ramp's stops, evenly spaced; share in 0..1.
template <std::size_t N>
std::array<std::uint8_t, 3> ramp(const std::array<Colour, N>& stops, double share) {
  const double at = std::clamp(share, 0.0, 1.0) * (N - 1);
  const std::size_t below = std::min(static_cast<std::size_t>(at), N - 2);
  const double part = at - static_cast<double>(below);
  std::array<std::uint8_t, 3> colour{};
  for (std::size_t i = 0; i < 3; ++i)
    colour[i] =
        static_cast<std::uint8_t>(std::lround(stops[below][i] + part * (stops[below + 1][i] - stops[below][i])));
  return colour;
}

constexpr std::array<Colour, 5> kMapRamp{
    {{28, 16, 68}, {79, 41, 135}, {181, 54, 122}, {251, 136, 97}, {252, 253, 191}}};
constexpr std::array<Colour, 3> kHeatRamp{{{190, 20, 20}, {255, 120, 0}, {255, 240, 90}}};

}  // namespace

std::string photo_definition(const PhotoInside& photo) {
  return fmt::format(
      "<svg class=\"store\" aria-hidden=\"true\"><defs><image id=\"photo\" width=\"{0}\" height=\"{1}\" "
      "href=\"{2}\"/></defs></svg>",
      photo.view.width, photo.view.height, data_url(photo.view));
}

Overlay::Overlay(const PhotoInside& photo)
    : width_(photo.view.width), height_(photo.view.height), letter_(std::max(width_, height_) / 46) {}

void Overlay::dim() {
  svg_ += fmt::format("<rect class=\"dim\" width=\"{}\" height=\"{}\"/>", width_, height_);
}

void Overlay::box(double left, double top, double right, double bottom, const std::string& classes,
                  const std::string& title) {
  svg_ += fmt::format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}</title></rect>",
      classes, left * width_, top * height_, (right - left) * width_, (bottom - top) * height_, escape_html(title));
}

void Overlay::box(const Truth& t, const std::string& classes, const std::string& title) {
  box(t.x - t.w / 2, t.y - t.h / 2, t.x + t.w / 2, t.y + t.h / 2, classes, title);
}

void Overlay::label(double left, double top, const std::string& text, int color) {
  const double high = letter_ * 1.3, wide = letter_ * (0.6 * static_cast<double>(text.size()) + 0.5);
  const double x = std::clamp(left * width_, 0.0, std::max(0.0, width_ - wide));
  const double over = top * height_ - high, y = over >= 0 ? over : std::max(0.0, top * height_);
  svg_ += fmt::format(
      "<g class=\"tag k{}\"><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/><text x=\"{:.1f}\" "
      "y=\"{:.1f}\" style=\"font-size:{:.1f}px\">{}</text></g>",
      color % kOverlayColors, x, y, wide, high, x + letter_ * 0.25, y + letter_, letter_, escape_html(text));
}

void Overlay::grid(int columns, int rows) {
  std::string path;
  for (int i = 1; i < columns; ++i) path += fmt::format("M{:.1f} 0V{}", i * width_ / columns, height_);
  for (int i = 1; i < rows; ++i) path += fmt::format("M0 {:.1f}H{}", i * height_ / rows, width_);
  svg_ += fmt::format("<path class=\"cells\" d=\"{}\"/>", path);
}

void Overlay::spotlight(double left, double top, double right, double bottom) {
  svg_ += fmt::format(
      "<path class=\"dim\" fill-rule=\"evenodd\" d=\"M0 0H{0}V{1}H0ZM{2:.1f} {3:.1f}V{5:.1f}H{4:.1f}V{3:.1f}Z\"/>",
      width_, height_, left * width_, top * height_, right * width_, bottom * height_);
}

void Overlay::heat(std::span<const float> values, int columns, int rows, double most) {
  io::Image picture{.width = columns, .height = rows, .channels = 4, .pixels = {}};
  for (const float value : values) {
    const double share = most > 0 ? std::clamp(value / most, 0.0, 1.0) : 0;
    for (const std::uint8_t part : ramp(kHeatRamp, share)) picture.pixels.push_back(part);
    picture.pixels.push_back(static_cast<std::uint8_t>(std::lround(210 * std::sqrt(share))));
  }
  svg_ += fmt::format("<image class=\"exact\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" href=\"{}\"/>",
                      width_, height_, png_url(picture));
}

std::string Overlay::figure(const std::string& name, const std::string& caption) const {
  return fmt::format(
      "<figure class=\"shot\"><svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\"><use href=\"#photo\"/>{}</svg>"
      "<figcaption>{}</figcaption></figure>",
      escape_html(name), width_, height_, svg_, caption);
}

std::string map_url(const ChannelMap& map, Shape shape) {
  io::Image grey{.width = shape.w, .height = shape.h, .channels = 1, .pixels = {}};
  const double span = static_cast<double>(map.high) - map.low;
  for (const float value : map.plane)
    grey.pixels.push_back(
        static_cast<std::uint8_t>(span > 0 ? std::lround(255 * (static_cast<double>(value) - map.low) / span) : 0));
  const int side = std::max(shape.w, shape.h), factor = (side + kMapSide - 1) / kMapSide;
  if (factor > 1 && shape.w >= factor && shape.h >= factor) grey = shrink(grey, factor);
  io::Image picture{.width = grey.width, .height = grey.height, .channels = 3, .pixels = {}};
  for (const std::uint8_t value : grey.pixels)
    for (const std::uint8_t part : ramp(kMapRamp, value / 255.0)) picture.pixels.push_back(part);
  return side <= kExactSide ? png_url(picture) : data_url(picture);
}

}  // namespace rook
