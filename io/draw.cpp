#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>

#include "base/error.h"
#include "io/image.h"
#include "io/stroke_font.h"

namespace rook::io {
namespace {

struct Rgb {
  std::uint8_t r, g, b;
};

constexpr std::array<Rgb, 16> kPalette = {{{230, 57, 70},
                                           {255, 190, 11},
                                           {58, 134, 255},
                                           {6, 214, 160},
                                           {155, 93, 229},
                                           {251, 133, 0},
                                           {76, 201, 240},
                                           {247, 37, 133},
                                           {128, 185, 24},
                                           {255, 140, 160},
                                           {0, 150, 136},
                                           {255, 238, 88},
                                           {141, 110, 99},
                                           {186, 200, 255},
                                           {190, 18, 60},
                                           {29, 78, 216}}};

// ITU-R BT.601, 0..255.
float luma(Rgb color) {
  return 0.299f * static_cast<float>(color.r) + 0.587f * static_cast<float>(color.g) +
         0.114f * static_cast<float>(color.b);
}

// Pixels [left, right) x [top, bottom).
struct Rect {
  int left = 0, top = 0, right = 0, bottom = 0;

  std::int64_t overlap(const Rect& other) const {
    const std::int64_t w = std::min(right, other.right) - std::max(left, other.left);
    const std::int64_t h = std::min(bottom, other.bottom) - std::max(top, other.top);
    return w > 0 && h > 0 ? w * h : 0;
  }
};

// The measures everything is drawn with, which grow with the picture.
struct Style {
  int line;    // thickness of outlines, pixels
  float unit;  // of the font, pixels
  int pad;     // between text and the edge of its label, pixels
  float pen;   // half the thickness of letters, pixels

  explicit Style(const Image& image) {
    const float side = std::sqrt(static_cast<float>(image.width) * static_cast<float>(image.height));
    line = std::max(2, static_cast<int>(std::lround(side / 420)));
    unit = std::max(1.5f, std::round(side / 300) / 2);  // half pixels keep small letters crisp
    pad = static_cast<int>(std::ceil(1.75f * unit));
    pen = std::max(0.75f, 0.55f * unit);
  }
};

class Canvas {
 public:
  explicit Canvas(Image& image) : image_(image) {}

  int width() const { return image_.width; }
  int height() const { return image_.height; }

  // Mixes `alpha` (0..1) of a colour into a pixel; outside of the picture nothing happens.
  void blend(int x, int y, Rgb color, float alpha) {
    if (x < 0 || y < 0 || x >= image_.width || y >= image_.height) return;
    const std::size_t pixel =
        static_cast<std::size_t>(y) * static_cast<std::size_t>(image_.width) + static_cast<std::size_t>(x);
    std::uint8_t* out = image_.pixels.data() + pixel * static_cast<std::size_t>(image_.channels);
    const auto mix = [alpha](std::uint8_t below, float above) {
      const auto old = static_cast<float>(below);
      return static_cast<std::uint8_t>(std::lround(old + alpha * (above - old)));
    };
    if (image_.channels == 1) {
      out[0] = mix(out[0], luma(color));
      return;
    }
    out[0] = mix(out[0], color.r);
    out[1] = mix(out[1], color.g);
    out[2] = mix(out[2], color.b);
  }

  void fill(const Rect& rect, Rgb color, float alpha) {
    for (int y = std::max(rect.top, 0); y < std::min(rect.bottom, height()); ++y) {
      for (int x = std::max(rect.left, 0); x < std::min(rect.right, width()); ++x) blend(x, y, color, alpha);
    }
  }

 private:
  Image& image_;
};

// The part of a box inside of the picture; nothing for what is not finite, has no area or lies outside.
std::optional<Rect> visible_part(const DrawnBox& box, const Canvas& canvas) {
  const double left = box.left, top = box.top, right = left + box.width, bottom = top + box.height;
  if (!std::isfinite(left) || !std::isfinite(top) || !std::isfinite(right) || !std::isfinite(bottom))
    return std::nullopt;
  const double w = canvas.width(), h = canvas.height();
  if (!(right > left) || !(bottom > top) || right <= 0 || bottom <= 0 || left >= w || top >= h) return std::nullopt;
  const auto pixel = [](double value, double most) {
    return static_cast<int>(std::lround(std::clamp(value, 0.0, most)));
  };
  Rect rect{pixel(left, w), pixel(top, h), pixel(right, w), pixel(bottom, h)};
  // At least one pixel, also of a box thinner than that at the right or lower edge.
  rect.left = std::min(rect.left, canvas.width() - 1);
  rect.top = std::min(rect.top, canvas.height() - 1);
  rect.right = std::max(rect.right, rect.left + 1);
  rect.bottom = std::max(rect.bottom, rect.top + 1);
  return rect;
}

// Whether a dash covers a place along a side of the box. The period is fitted to the side, so that corners are covered.
bool on_dash(int position, int length, int line) {
  const int periods = std::max(1, length / (6 * line));
  const float phase = static_cast<float>(position) * static_cast<float>(periods) / static_cast<float>(length);
  return std::abs(phase - std::round(phase)) < 0.3f;
}

void draw_outline(Canvas& canvas, const Rect& rect, Rgb color, const Style& style, bool dashed) {
  constexpr Rgb kShadow{0, 0, 0};
  constexpr float kShadowAlpha = 0.35f;  // a thin dark rim parts the line from ground of its own colour
  const int rim = std::max(1, style.line / 3);
  const Rect outer{rect.left - rim, rect.top - rim, rect.right + rim, rect.bottom + rim};
  // Only rows and columns near a side are visited: a box may be as large as the picture.
  const int thick = style.line + 2 * rim;
  const auto draw_pixel = [&](int x, int y) {
    const int depth =
        std::min(std::min(x - outer.left, outer.right - 1 - x), std::min(y - outer.top, outer.bottom - 1 - y));
    if (depth < 0 || depth >= thick) return;
    if (dashed) {
      const bool along_x = depth == y - outer.top || depth == outer.bottom - 1 - y;
      const int length = along_x ? rect.right - rect.left : rect.bottom - rect.top;
      const int position = along_x ? x - rect.left : y - rect.top;
      if (!on_dash(std::clamp(position, 0, length), length, style.line)) return;
    }
    const bool is_rim = depth < rim || depth >= rim + style.line;
    canvas.blend(x, y, is_rim ? kShadow : color, is_rim ? kShadowAlpha : 1.0f);
  };
  for (int y = outer.top; y < outer.bottom; ++y) {
    const bool whole_row = y - outer.top < thick || outer.bottom - y <= thick;
    const int skip_from = whole_row ? outer.right : std::min(outer.left + thick, outer.right);
    const int skip_to = whole_row ? outer.right : std::max(outer.right - thick, skip_from);
    for (int x = outer.left; x < skip_from; ++x) draw_pixel(x, y);
    for (int x = skip_to; x < outer.right; ++x) draw_pixel(x, y);
  }
}

// How much of the pixel at (x, y) a round pen of radius `pen` covers that went along the stroke: 0..1.
float coverage(const Stroke& stroke, float x, float y, float pen) {
  const float dx = stroke.x1 - stroke.x0, dy = stroke.y1 - stroke.y0;
  const float squared = dx * dx + dy * dy;
  const float along =
      squared > 0 ? std::clamp(((x - stroke.x0) * dx + (y - stroke.y0) * dy) / squared, 0.0f, 1.0f) : 0.0f;
  const float distance = std::hypot(x - stroke.x0 - along * dx, y - stroke.y0 - along * dy);
  return std::clamp(pen + 0.5f - distance, 0.0f, 1.0f);
}

// The middle of the pen starts at (left, top) of the canvas. Strokes meet and cross: each pixel takes the greatest
// cover, once.
void draw_text(Canvas& canvas, const StrokedText& text, const Rect& area, float left, float top, Rgb color,
               const Style& style) {
  const int width = area.right - area.left, height = area.bottom - area.top;
  std::vector<float> cover(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 0.0f);
  for (const Stroke& units : text.strokes) {
    const Stroke stroke{left + units.x0 * style.unit, top + units.y0 * style.unit, left + units.x1 * style.unit,
                        top + units.y1 * style.unit};
    const float reach = style.pen + 1;
    const int x0 = std::max(static_cast<int>(std::min(stroke.x0, stroke.x1) - reach), area.left);
    const int x1 = std::min(static_cast<int>(std::max(stroke.x0, stroke.x1) + reach) + 1, area.right);
    const int y0 = std::max(static_cast<int>(std::min(stroke.y0, stroke.y1) - reach), area.top);
    const int y1 = std::min(static_cast<int>(std::max(stroke.y0, stroke.y1) + reach) + 1, area.bottom);
    for (int y = y0; y < y1; ++y) {
      for (int x = x0; x < x1; ++x) {
        float& here = cover[static_cast<std::size_t>(y - area.top) * static_cast<std::size_t>(width) +
                            static_cast<std::size_t>(x - area.left)];
        here = std::max(here, coverage(stroke, static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f, style.pen));
      }
    }
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const float alpha =
          cover[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
      if (alpha > 0) canvas.blend(area.left + x, area.top + y, color, alpha);
    }
  }
}

// Over the box; where that would hide another label, over its right end, below it, or inside.
Rect place_label(const Canvas& canvas, const Rect& box, int width, int height, std::span<const Rect> taken) {
  const std::array<std::array<int, 2>, 4> corners = {{{box.left, box.top - height},
                                                      {box.right - width, box.top - height},
                                                      {box.left, box.bottom},
                                                      {box.left, box.top}}};
  Rect best;
  std::int64_t least = -1;
  for (const auto& corner : corners) {
    const int left = std::clamp(corner[0], 0, std::max(0, canvas.width() - width));
    const int top = std::clamp(corner[1], 0, std::max(0, canvas.height() - height));
    const Rect rect{left, top, left + width, top + height};
    std::int64_t hidden = 0;
    for (const Rect& other : taken) hidden += rect.overlap(other);
    if (least < 0 || hidden < least) {
      best = rect;
      least = hidden;
    }
    if (hidden == 0) break;
  }
  return best;
}

Rgb color_of(const DrawnBox& box) {
  const int count = static_cast<int>(kPalette.size());
  return kPalette[static_cast<std::size_t>((box.color % count + count) % count)];
}

void draw_label(Canvas& canvas, const DrawnBox& box, const Rect& rect, const Style& style, std::vector<Rect>& taken) {
  constexpr std::size_t kMostCompared = 200;  // labels looked at for a free place
  const auto pad = static_cast<float>(style.pad);
  const StrokedText text =
      stroke_text(box.label, (static_cast<float>(canvas.width()) - 2 * (pad + style.pen)) / style.unit);
  if (text.strokes.empty()) return;
  const int width = static_cast<int>(std::ceil(text.width * style.unit + 2 * (pad + style.pen)));
  const int height = static_cast<int>(std::ceil((kDescent + 0.75f) * style.unit)) + style.pad;
  const Rect label =
      place_label(canvas, rect, width, height, std::span(taken).last(std::min(taken.size(), kMostCompared)));
  taken.push_back(label);
  const Rgb color = color_of(box);
  canvas.fill(label, color, 1.0f);
  constexpr float kBrightFrom = 135;  // black text on what is brighter, white on what is darker
  const Rgb ink = luma(color) >= kBrightFrom ? Rgb{0, 0, 0} : Rgb{255, 255, 255};
  draw_text(canvas, text, label, static_cast<float>(label.left) + pad + style.pen, static_cast<float>(label.top) + pad,
            ink, style);
}

}  // namespace

void draw_boxes(Image& image, std::span<const DrawnBox> boxes) {
  const auto pixels = std::int64_t{image.width} * image.height;
  if ((image.channels != 1 && image.channels != 3) || image.width < 1 || image.height < 1 ||
      pixels * image.channels != static_cast<std::int64_t>(image.pixels.size())) {
    throw Error(fmt::format("cannot draw on a picture of {} x {} pixels, {} channels and {} bytes; decode it first",
                            image.width, image.height, image.channels, image.pixels.size()));
  }
  const Style style(image);
  Canvas canvas(image);
  for (const DrawnBox& box : boxes) {
    if (const auto rect = visible_part(box, canvas)) draw_outline(canvas, *rect, color_of(box), style, box.dashed);
  }
  // Labels after all outlines, so that no line goes through text.
  std::vector<Rect> taken;
  for (const DrawnBox& box : boxes) {
    const auto rect = visible_part(box, canvas);
    if (rect) draw_label(canvas, box, *rect, style, taken);
  }
}

}  // namespace rook::io
