#include "io/image.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>

#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

namespace {

io::Image decode(const ByteVector& bytes, int channels = 3, io::Exif exif = io::Exif::apply) {
  return io::decode_image(bytes, "some.file", channels, exif);
}

std::string decode_error(const ByteVector& bytes) {
  return error_of([&] { decode(bytes); });
}

ByteVector first_bytes(const ByteVector& bytes, std::size_t count) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count)};  // its own allocation, for ASan
}

// 1 2 3
// 4 5 6   stored; what is upright for each EXIF orientation, turned by hand.
struct Turned {
  int width, height;
  ByteVector cells;
};
const std::array<Turned, 8> kTurned = {{{3, 2, {1, 2, 3, 4, 5, 6}},
                                        {3, 2, {3, 2, 1, 6, 5, 4}},
                                        {3, 2, {6, 5, 4, 3, 2, 1}},
                                        {3, 2, {4, 5, 6, 1, 2, 3}},
                                        {2, 3, {1, 4, 2, 5, 3, 6}},
                                        {2, 3, {4, 1, 5, 2, 6, 3}},
                                        {2, 3, {6, 3, 5, 2, 4, 1}},
                                        {2, 3, {3, 6, 2, 5, 1, 4}}}};

ByteVector turned_jpeg(int orientation, bool little, bool color) {
  const ByteVector y = {20, 40, 60, 80, 100, 120}, flat(6, 128);
  JpegParts parts{.blocks_x = 3, .blocks_y = 2, .components = {y}};
  if (color) parts.components = {y, flat, flat};
  parts.app1 = make_app1(orientation, little);
  return make_jpeg(parts);
}

PngParts small_png() {
  return {.width = 3, .height = 2, .rows = {0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 22, 33, 44, 55, 66, 77, 88, 99}};
}

}  // namespace

TEST_CASE("image: EXIF orientations of a PNG, before or after its pixels") {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const Turned& want = kTurned[static_cast<std::size_t>(orientation - 1)];
    for (const bool last : {false, true}) {
      for (const int channels : {1, 3}) {
        PngParts parts{.width = 3, .height = 2, .color_type = 0, .rows = {0, 1, 2, 3, 0, 4, 5, 6}};
        parts.exif = make_exif(orientation, last);
        parts.exif_last = last;
        const ByteVector file = make_png(parts);
        const io::Image image = decode(file, channels);
        CHECK(image.width == want.width);
        CHECK(image.height == want.height);
        CHECK(image.channels == channels);
        ByteVector expected;
        for (const std::uint8_t cell : want.cells)
          expected.insert(expected.end(), static_cast<std::size_t>(channels), cell);
        CHECK(image.pixels == expected);
        const io::Image stored = decode(file, 1, io::Exif::ignore);
        CHECK(stored.pixels == kTurned[0].cells);
        CHECK(stored.width == 3);
      }
    }
  }
}

TEST_CASE("image: EXIF orientations of a JPEG, and its size without decoding") {
  const TempFolder folder;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const Turned& want = kTurned[static_cast<std::size_t>(orientation - 1)];
    for (const bool color : {false, true}) {
      const ByteVector file = turned_jpeg(orientation, color, color);
      const io::Image image = decode(file);
      REQUIRE(image.width == 8 * want.width);
      REQUIRE(image.height == 8 * want.height);
      bool same = true;
      for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
          const int value = 20 * want.cells[static_cast<std::size_t>(y / 8 * want.width + x / 8)];
          for (int c = 0; c < 3; ++c)
            same = same && image.pixels[static_cast<std::size_t>((y * image.width + x) * 3 + c)] == value;
        }
      }
      CHECK(same);
      save(folder / "a.jpg", file);
      const io::ImageSize size = io::read_image_size(folder / "a.jpg");
      CHECK(size.width == image.width);
      CHECK(size.height == image.height);
      CHECK(size.orientation == orientation);
      CHECK(io::read_image(folder / "a.jpg").pixels == image.pixels);
    }
  }
}

TEST_CASE("image: colour spaces of JPEG") {
  const auto first_pixel = [](const ByteVector& file) {
    const io::Image image = decode(file);
    return std::array<int, 3>{image.pixels[0], image.pixels[1], image.pixels[2]};
  };
  CHECK(first_pixel(make_jpeg({.components = {{77}}})) == std::array{77, 77, 77});
  CHECK(first_pixel(make_jpeg({.components = {{10}, {20}, {30}}, .adobe_transform = 0})) == std::array{10, 20, 30});
  // Adobe stores CMYK inverted: each ink is what it leaves of white, times what black leaves.
  CHECK(first_pixel(make_jpeg({.components = {{255}, {128}, {0}, {255}}, .adobe_transform = 0})) ==
        std::array{255, 128, 0});
  const auto dark = first_pixel(make_jpeg({.components = {{255}, {128}, {0}, {100}}, .adobe_transform = 0}));
  CHECK(std::abs(dark[0] - 100) <= 1);
  CHECK(std::abs(dark[1] - 128 * 100 / 255) <= 1);
  CHECK(dark[2] == 0);
  // ITU-T T.871 (JFIF): R = Y + 1.402 Cr', G = Y - 0.344 Cb' - 0.714 Cr', B = Y + 1.772 Cb'.
  const auto color = first_pixel(make_jpeg({.components = {{100}, {150}, {90}}}));
  CHECK(std::abs(color[0] - (100 - 1.402 * 38)) <= 1.5);
  CHECK(std::abs(color[1] - (100 - 0.344136 * 22 + 0.714136 * 38)) <= 1.5);
  CHECK(std::abs(color[2] - (100 + 1.772 * 22)) <= 1.5);
  CHECK(decode(make_jpeg({.components = {{100}, {150}, {90}}}), 1).pixels[0] == 100);
}

TEST_CASE("image: a progressive JPEG is as good as a baseline one") {
  JpegParts parts{
      .blocks_x = 3, .blocks_y = 2, .components = {{20, 40, 60, 80, 100, 120}, {128, 90, 128, 128, 200, 128}}};
  parts.components.push_back(parts.components[0]);
  const io::Image baseline = decode(make_jpeg(parts));
  parts.progressive = true;
  const ByteVector file = make_jpeg(parts);
  CHECK(decode(file).pixels == baseline.pixels);
  for (std::size_t size = 2; size < file.size(); ++size)
    REQUIRE(says(decode_error(first_bytes(file, size)), "truncated"));
}

TEST_CASE("image: kinds of PNG") {
  SUBCASE("colour, and colour as grey") {
    const ByteVector file = make_png(small_png());
    CHECK(decode(file).pixels == ByteVector{9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 22, 33, 44, 55, 66, 77, 88, 99});
    const io::Image grey = decode(file, 1);
    REQUIRE(grey.pixels.size() == 6);
    CHECK(std::abs(grey.pixels[5] - (0.299 * 77 + 0.587 * 88 + 0.114 * 99)) <= 1);
  }
  SUBCASE("alpha is dropped, the colour below it kept") {
    CHECK(decode(make_png({.width = 2, .color_type = 6, .rows = {0, 1, 2, 3, 0, 4, 5, 6, 255}})).pixels ==
          ByteVector{1, 2, 3, 4, 5, 6});
    CHECK(decode(make_png({.width = 2, .color_type = 4, .rows = {0, 70, 0, 80, 9}})).pixels ==
          ByteVector{70, 70, 70, 80, 80, 80});
    CHECK(decode(make_png({.width = 2, .color_type = 4, .rows = {0, 70, 0, 80, 9}}), 1).pixels == ByteVector{70, 80});
  }
  SUBCASE("16 bits keep their upper half") {
    CHECK(decode(make_png({.bits = 16, .rows = {0, 10, 255, 20, 0, 30, 127}})).pixels == ByteVector{10, 20, 30});
    CHECK(decode(make_png({.width = 2, .bits = 16, .color_type = 0, .rows = {0, 5, 6, 200, 7}}), 1).pixels ==
          ByteVector{5, 200});
  }
  SUBCASE("palette, with and without transparency, and one bit") {
    const ByteVector palette = {1, 2, 3, 40, 50, 60};
    const PngParts parts{.width = 3, .color_type = 3, .rows = {0, 1, 0, 1}, .palette = palette};
    const ByteVector want = {40, 50, 60, 1, 2, 3, 40, 50, 60};
    CHECK(decode(make_png(parts)).pixels == want);
    PngParts transparent = parts;
    transparent.transparency = {0, 128};
    CHECK(decode(make_png(transparent)).pixels == want);
    PngParts bits = parts;
    bits.bits = 1;
    bits.rows = {0, 0b10100000};
    CHECK(decode(make_png(bits)).pixels == want);
    CHECK(decode(make_png({.width = 3, .bits = 1, .color_type = 0, .rows = {0, 0b01000000}}), 1).pixels ==
          ByteVector{0, 255, 0});
  }
}

TEST_CASE("image: BMP, whole and cut off") {
  const ByteVector file = make_bmp(3, 2, {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19});
  const ByteVector want = {13, 12, 11, 16, 15, 14, 19, 18, 17, 3, 2, 1, 6, 5, 4, 9, 8, 7};
  CHECK(decode(file).pixels == want);
  constexpr std::size_t kPadding = 3;  // after the last row, which nobody needs
  for (std::size_t size = 2; size < file.size(); ++size) {
    CAPTURE(size);
    if (size >= file.size() - kPadding) {
      CHECK(decode(first_bytes(file, size)).pixels == want);
    } else {
      CHECK(says(decode_error(first_bytes(file, size)), "some.file: truncated"));
    }
  }
}

TEST_CASE("image: a JPEG cut off at any byte is an error that says so") {
  const ByteVector flat = turned_jpeg(6, true, true);
  const ByteVector photo = io::encode_jpeg(smooth_picture(37, 29, 3), 90);
  for (const ByteVector& file : {flat, photo}) {
    REQUIRE(decode_error(file).empty());
    constexpr std::size_t kEnd = 2;  // the end marker, without which no pixel is missing
    for (std::size_t size = 0; size < file.size() - kEnd; ++size) {
      CAPTURE(size);
      const std::string message = decode_error(first_bytes(file, size));
      REQUIRE(says(message, "some.file: "));
      if (size >= 2) REQUIRE(says(message, "truncated"));
    }
    for (std::size_t size = file.size() - kEnd; size < file.size(); ++size) {
      for (const int channels : {1, 3}) {
        CHECK(decode(first_bytes(file, size), channels).pixels == decode(file, channels).pixels);
      }
    }
  }
}

TEST_CASE("read_image_size: a file cut off at any byte is found by its end") {
  const TempFolder folder;
  PngParts parts = small_png();
  parts.exif = make_exif(1, true);
  JpegParts progressive{.blocks_x = 3, .blocks_y = 2, .components = {{20, 40, 60, 80, 100, 120}}};
  progressive.progressive = true;
  const ByteVector baseline = io::encode_jpeg(smooth_picture(37, 29, 3), 90);
  for (const ByteVector& file :
       {baseline, make_jpeg(progressive), make_png(parts), make_bmp(3, 2, ByteVector(18, 1))}) {
    // The rows of the bitmap are padded; the last of them is whole without.
    const std::size_t spare = file == baseline ? 2 : file[0] == 'B' ? 3 : 0;
    for (std::size_t size = 2; size <= file.size(); ++size) {
      CAPTURE(size);
      save(folder / "a", first_bytes(file, size));
      if (size < file.size() - spare) {
        REQUIRE(!error_of([&] { io::read_image_size(folder / "a"); }).empty());
        if (size >= 8) REQUIRE(says(error_of([&] { io::read_image_size(folder / "a"); }), "truncated"));
      } else {
        CHECK(io::read_image_size(folder / "a").ended == (file != baseline || size == file.size()));
      }
    }
    ByteVector longer = file;
    add(longer, std::string_view("trailing garbage"));
    save(folder / "a", longer);
    CHECK(io::read_image_size(folder / "a").ended);
  }
}

TEST_CASE("image: a PNG cut off at any byte is an error that says so") {
  PngParts parts = small_png();
  parts.exif = make_exif(1, true);
  const ByteVector file = make_png(parts);
  REQUIRE(decode_error(file).empty());
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    const std::string message = decode_error(first_bytes(file, size));
    REQUIRE(says(message, "some.file: "));
    if (size >= 8) REQUIRE(says(message, "truncated"));
  }
}

TEST_CASE("image: bytes after the end change nothing") {
  for (const ByteVector& file : {turned_jpeg(5, false, true), make_png(small_png())}) {
    ByteVector longer = file;
    add(longer, std::string_view("\xFF\xD8\xFF\x00 trailing garbage \xFF\xDA", 24));
    CHECK(decode(longer).pixels == decode(file).pixels);
  }
}

TEST_CASE("image: any flipped bit of a PNG without remarks is found") {
  const ByteVector file = make_png(small_png());
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    ByteVector flipped = file;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CAPTURE(bit);
    REQUIRE(says(decode_error(flipped), "some.file: "));
  }
}

TEST_CASE("image: damaged remarks of a PNG are left out") {
  PngParts parts = small_png();
  parts.exif = make_exif(3, true);
  ByteVector file = make_png(parts);
  const std::size_t exif = 8 + 25 + 8;
  REQUIRE(file[exif] == 'I');
  file[exif + 20] ^= 1;
  CHECK(decode(file).pixels == decode(make_png(small_png())).pixels);
}

TEST_CASE("image: a damaged JPEG is an error or a picture, the same each time") {
  const ByteVector flat = turned_jpeg(6, true, true);
  const ByteVector photo = io::encode_jpeg(smooth_picture(37, 29, 3), 60);
  const ByteVector progressive = make_jpeg({.components = {{9}, {99}, {199}}, .progressive = true});
  std::mt19937 random(11);
  int errors = 0, pictures = 0;
  for (int round = 0; round < 3000; ++round) {
    ByteVector file = round % 3 == 0 ? flat : round % 3 == 1 ? photo : progressive;
    for (int k = 0; k <= round % 5; ++k) {
      file[random() % file.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
    io::Image image;
    const std::string message = error_of([&] { image = decode(file); });
    message.empty() ? ++pictures : ++errors;
    if (!message.empty()) {
      REQUIRE(says(message, "some.file: "));
    } else {
      REQUIRE(image.pixels.size() ==
              static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3);
      REQUIRE(image.pixels == decode(file).pixels);
    }
  }
  CHECK(errors > 100);
  CHECK(pictures > 100);
}

TEST_CASE("image: Huffman tables that would not fit the decoder are refused") {
  // 255 codes of 9 bits and as many of 10 and 11: 765 symbols, all there.
  ByteVector table = {0x00, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0};
  table.resize(17 + 765, 1);
  ByteVector file = {0xFF, 0xD8};
  add_segment(file, 0xC4, table);
  const ByteVector rest = make_jpeg({.components = {{100}}});
  file.insert(file.end(), rest.begin() + 2, rest.end());
  CHECK(says(decode_error(file), "impossible Huffman table"));
}

TEST_CASE("image: a JPEG without pixels for each colour is an error") {
  ByteVector file = make_jpeg({.components = {{100}, {150}, {90}}});
  const std::array<std::uint8_t, 4> start_of_scan = {0xFF, 0xDA, 0, 12};
  const auto scan = std::search(file.begin(), file.end(), start_of_scan.begin(), start_of_scan.end());
  REQUIRE(scan != file.end());
  ByteVector none(file.begin(), scan);
  add(none, ByteVector{0xFF, 0xD9});
  CHECK(says(decode_error(none), "no pixel data"));
  ByteVector luma_only(file.begin(), scan);
  add(luma_only, ByteVector{0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x00, 0xFF, 0xD9});
  CHECK(says(decode_error(luma_only), "no pixel data"));
}

TEST_CASE("image: absurd sizes are refused before memory is asked for") {
  PngParts parts = small_png();
  parts.width = parts.height = 1000000;
  CHECK(says(decode_error(make_png(parts)), "1 GiB"));
  parts.width = 0x80000000u;
  CHECK(says(decode_error(make_png(parts)), "impossible size"));
  parts.width = 0;
  CHECK(says(decode_error(make_png(parts)), "impossible size"));
  ByteVector jpeg = make_jpeg({.components = {{100}}});
  const std::array<std::uint8_t, 5> frame = {0xFF, 0xC0, 0, 11, 8};
  const auto at = std::search(jpeg.begin(), jpeg.end(), frame.begin(), frame.end());
  REQUIRE(at != jpeg.end());
  std::fill_n(at + 5, 4, std::uint8_t{0xFF});
  CHECK(says(decode_error(jpeg), "65535 x 65535"));
}

TEST_CASE("image: what is not a picture is called by its name") {
  CHECK(says(decode_error({}), "some.file: the file is empty"));
  const auto of_text = [](std::string_view text) {
    ByteVector bytes;
    add(bytes, text);
    return decode_error(bytes);
  };
  CHECK(says(of_text("0 0.5 0.5 0.1 0.1"), "not a picture"));
  CHECK(says(of_text("GIF89a......"), "a GIF file"));
  CHECK(says(of_text("RIFF....WEBPVP8 "), "a WebP file"));
  CHECK(says(of_text(std::string_view("\0\0\0\x18"
                                      "ftypheic",
                                      12)),
             "HEIC"));
  CHECK(says(error_of([] { decode(make_png(small_png()), 4); }), "not 4"));
}

TEST_CASE("image: files that cannot be read") {
  const TempFolder folder;
  const auto missing = folder / "gone.jpg";
  for (const bool only_size : {false, true}) {
    const auto error = [&](const std::filesystem::path& file) {
      return error_of([&] { only_size ? void(io::read_image_size(file)) : void(io::read_image(file)); });
    };
    CHECK(says(error(missing), missing.c_str()));
    CHECK(says(error(folder / ""), "not a regular file"));
    save(folder / "empty.jpg", {});
    CHECK(says(error(folder / "empty.jpg"), "empty.jpg: the file is empty"));
    save(folder / "text.jpg", ByteVector{'h', 'i'});
    CHECK(says(error(folder / "text.jpg"), "text.jpg: not a picture"));
  }
}

TEST_CASE("read_image_size: PNG, BMP, and a JPEG with more metadata than pixels") {
  const TempFolder folder;
  PngParts parts = small_png();
  parts.exif = make_exif(8, true);
  parts.exif_last = true;
  save(folder / "a.png", make_png(parts));
  const io::ImageSize png = io::read_image_size(folder / "a.png");
  CHECK(png.width == 2);
  CHECK(png.height == 3);
  CHECK(png.orientation == 8);
  save(folder / "a.bmp", make_bmp(3, 2, ByteVector(18, 1)));
  CHECK(io::read_image_size(folder / "a.bmp").width == 3);

  ByteVector jpeg = {0xFF, 0xD8};
  for (int i = 0; i < 5; ++i) add_segment(jpeg, 0xE2, ByteVector(60000, 0xFF));  // colour profiles
  const ByteVector rest = turned_jpeg(6, true, true);
  jpeg.insert(jpeg.end(), rest.begin() + 2, rest.end());
  save(folder / "a.jpg", jpeg);
  const io::ImageSize size = io::read_image_size(folder / "a.jpg");
  CHECK(size.width == 16);
  CHECK(size.height == 24);
  CHECK(size.orientation == 6);
}

TEST_CASE("image: real photos") {
  const char* assets = std::getenv("ROOK_ASSETS");
  if (assets == nullptr) {
    MESSAGE("skipped: ROOK_ASSETS is not set");
    return;
  }
  const std::filesystem::path dog = std::filesystem::path(assets) / "images/dog.jpg";
  const io::Image image = io::read_image(dog);
  CHECK(image.width == 768);
  CHECK(image.height == 576);
  CHECK(io::read_image_size(dog).width == 768);
  const ByteVector bytes = load(dog);
  for (std::size_t part = 1; part < 20; ++part) {
    CHECK(says(decode_error(first_bytes(bytes, bytes.size() * part / 20)), "truncated"));
  }
}
