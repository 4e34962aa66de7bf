#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "io/image.h"
#include "io/stroke_font.h"
#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

namespace {

io::Image blank(int width, int height, int channels = 3, std::uint8_t value = 200) {
  const auto bytes =
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * static_cast<std::size_t>(channels);
  return {.width = width, .height = height, .channels = channels, .pixels = ByteVector(bytes, value)};
}

struct Pixel {
  int r, g, b;
  bool operator==(const Pixel&) const = default;
  double luma() const { return 0.299 * r + 0.587 * g + 0.114 * b; }
};

Pixel at(const io::Image& image, int x, int y) {
  const std::uint8_t* p =
      image.pixels.data() +
      (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) + static_cast<std::size_t>(x)) * 3;
  return {p[0], p[1], p[2]};
}

int count(const io::Image& image, Pixel wanted) {
  int found = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) found += at(image, x, y) == wanted;
  }
  return found;
}

int changed(const io::Image& image, const io::Image& before) {
  int found = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) found += !(at(image, x, y) == at(before, x, y));
  }
  return found;
}

io::Image drawn(io::Image image, const std::vector<io::DrawnBox>& boxes) {
  io::draw_boxes(image, boxes);
  return image;
}

constexpr Pixel kGround{200, 200, 200}, kWhite{255, 255, 255}, kBlack{0, 0, 0};

}  // namespace

TEST_CASE("draw_boxes: lines lie on the box, and nothing inside or outside is touched") {
  const io::Image image = drawn(blank(401, 307), {{.left = 100, .top = 80, .width = 150, .height = 90, .color = 0}});
  const Pixel line = at(image, 100, 80);
  CHECK(!(line == kGround));
  for (int x = 100; x < 250; ++x) {
    REQUIRE(at(image, x, 80) == line);
    REQUIRE(at(image, x, 81) == line);
    REQUIRE(at(image, x, 169) == line);
  }
  for (int y = 80; y < 170; ++y) {
    REQUIRE(at(image, 100, y) == line);
    REQUIRE(at(image, 249, y) == line);
  }
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const bool inside = x >= 104 && x < 246 && y >= 84 && y < 166;
      const bool outside = x < 98 || x >= 252 || y < 78 || y >= 172;
      if (inside || outside) REQUIRE(at(image, x, y) == kGround);
    }
  }
}

TEST_CASE("draw_boxes: lines grow with the picture") {
  const auto thickness = [](int side) {
    const io::Image image = drawn(blank(side, side), {{.left = 20, .top = 20, .width = 300, .height = 300}});
    const Pixel line = at(image, 20, 20);
    int thick = 0;
    while (at(image, 150, 20 + thick) == line) ++thick;
    return thick;
  };
  CHECK(thickness(350) == 2);
  CHECK(thickness(2100) == 5);
}

TEST_CASE("draw_boxes: boxes of any kind stay within the picture") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  constexpr float kValues[] = {0, -1, 5.5f, -1e30f, 1e30f, -3e9f, 3e9f, kInf, -kInf, kNan, 1e-30f, 32, 33};
  for (const int channels : {1, 3}) {
    for (const bool dashed : {false, true}) {
      io::Image image = blank(33, 29, channels);
      std::vector<io::DrawnBox> boxes;
      for (const float left : kValues) {
        for (const float width : kValues) {
          boxes.push_back({left, 3, width, 20, -7, "a", dashed});
          boxes.push_back({3, left, 20, width, std::numeric_limits<int>::min(), "", dashed});
        }
      }
      io::draw_boxes(image, boxes);  // ASan watches the vector's ends
      CHECK(image.pixels.size() == static_cast<std::size_t>(33 * 29 * channels));
    }
  }
  for (const int side : {1, 2, 3}) {
    io::Image tiny = blank(side, side);
    io::draw_boxes(tiny, std::vector<io::DrawnBox>{{0, 0, 1, 1, 3, "long label", true}, {0, 0, 9, 9, 3, "b", false}});
    CHECK(count(tiny, kGround) < side * side);
  }
}

TEST_CASE("draw_boxes: what is not finite, empty or outside draws nothing, nor its label") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  const io::Image before = blank(100, 80);
  for (const auto& [left, top, width, height] : std::vector<std::array<float, 4>>{{kNan, 1, 5, 5},
                                                                                  {1, 1, kNan, 5},
                                                                                  {1, 1, 5, kInf},
                                                                                  {-kInf, 1, kInf, 5},
                                                                                  {10, 10, 0, 5},
                                                                                  {10, 10, 5, -5},
                                                                                  {-20, 10, 19, 5},
                                                                                  {100, 10, 19, 5},
                                                                                  {10, 80, 19, 5},
                                                                                  {10, -1e9f, 19, 5}}) {
    CHECK(drawn(before, {{left, top, width, height, 1, "label", false}}).pixels == before.pixels);
  }
}

TEST_CASE("draw_boxes: labels are whole wherever the box lies") {
  // Colour 0 has white text; the ground has none.
  const auto ink = [](float left, float top) {
    return count(drawn(blank(400, 300),
                       {{.left = left, .top = top, .width = 60, .height = 50, .color = 0, .label = "rook 0.97"}}),
                 kWhite);
  };
  const int whole = ink(150, 120);
  REQUIRE(whole > 50);
  for (const float left : {-30.0f, 0.0f, 200.0f, 345.0f, 390.0f}) {
    for (const float top : {-30.0f, 0.0f, 5.0f, 200.0f, 290.0f}) CHECK(ink(left, top) == whole);
  }
}

TEST_CASE("draw_boxes: labels of boxes at one place do not hide each other") {
  const io::DrawnBox box{.left = 150, .top = 120, .width = 60, .height = 50, .color = 0, .label = "rook 0.97"};
  const int one = count(drawn(blank(400, 300), {box}), kWhite);
  CHECK(count(drawn(blank(400, 300), {box, box}), kWhite) == 2 * one);
  CHECK(count(drawn(blank(400, 300), {box, box, box}), kWhite) == 3 * one);
}

TEST_CASE("draw_boxes: text contrasts with its label in every colour") {
  for (int color = 0; color < 16; ++color) {
    CAPTURE(color);
    const io::Image image =
        drawn(blank(400, 300), {{.left = 150, .top = 120, .width = 90, .height = 50, .color = color, .label = "rook"}});
    const Pixel ground = at(image, 150, 125);  // the line, which has the colour of the label
    const int white = count(image, kWhite), black = count(image, kBlack);
    CHECK((white > 20) != (black > 20));
    CHECK(std::abs(ground.luma() - (white > 20 ? 255 : 0)) >= 115);
    CHECK(count(image, ground) > 500);
    CHECK(drawn(blank(400, 300),
                {{.left = 150, .top = 120, .width = 90, .height = 50, .color = color + 16, .label = "rook"}})
              .pixels == image.pixels);
  }
}

TEST_CASE("draw_boxes: dashed boxes have gaps but all corners") {
  const io::DrawnBox solid{.left = 50, .top = 40, .width = 151, .height = 83, .color = 2};
  io::DrawnBox dashed = solid;
  dashed.dashed = true;
  const io::Image before = blank(300, 200);
  const int all = changed(drawn(before, {solid}), before);
  const io::Image image = drawn(before, {dashed});
  const int some = changed(image, before);
  CHECK(some > all * 4 / 10);
  CHECK(some < all * 8 / 10);
  for (const int x : {50, 51, 199, 200}) {
    for (const int y : {40, 41, 121, 122}) CHECK(!(at(image, x, y) == kGround));
  }
}

TEST_CASE("draw_boxes: a label wider than the picture is cut at its edge") {
  const io::Image image =
      drawn(blank(120, 90),
            {{.left = 20, .top = 40, .width = 30, .height = 30, .color = 0, .label = std::string(100000, 'W')}});
  CHECK(count(image, kWhite) > 50);
  for (int y = 0; y < image.height; ++y) CHECK(!(at(image, 119, y) == kWhite));
}

TEST_CASE("draw_boxes: a picture whose size is a lie is an error") {
  io::Image image = blank(10, 10);
  image.height = 11;
  CHECK(error_of([&] { io::draw_boxes(image, {}); }).find("10 x 11") != std::string::npos);
}

TEST_CASE("stroke font: every character is there, different, and within its line") {
  std::vector<std::vector<float>> seen;
  for (char c = '!'; c <= '~'; ++c) {
    CAPTURE(c);
    const io::StrokedText text = io::stroke_text(std::string(1, c), 100);
    REQUIRE(!text.strokes.empty());
    std::vector<float> numbers;
    for (const io::Stroke& s : text.strokes) {
      for (const float x : {s.x0, s.x1}) CHECK((x >= 0 && x <= text.width));
      for (const float y : {s.y0, s.y1}) CHECK((y >= 0 && y <= io::kDescent));
      numbers.insert(numbers.end(), {s.x0, s.y0, s.x1, s.y1});
    }
    CHECK(std::find(seen.begin(), seen.end(), numbers) == seen.end());
    seen.push_back(numbers);
  }
  CHECK(io::stroke_text(" ", 100).strokes.empty());
}

TEST_CASE("stroke font: letters follow each other and stop at the width") {
  const float one = io::stroke_text("H", 100).width;
  const io::StrokedText two = io::stroke_text("HH", 100);
  CHECK(two.width > 2 * one);
  CHECK(two.strokes.size() == 2 * io::stroke_text("H", 100).strokes.size());
  CHECK(io::stroke_text("HH", two.width - 1).width == one);
  CHECK(io::stroke_text("H", 1).strokes.empty());
  // One mark for a character that takes two or three bytes.
  CHECK(io::stroke_text("caf\xC3\xA9", 100).width == io::stroke_text("caf?", 100).width);
  CHECK(io::stroke_text("\xE2\x99\x9C", 100).width == io::stroke_text("?", 100).width);
  CHECK(io::stroke_text("a\nb", 100).width == io::stroke_text("a?b", 100).width);
}
