#include <cmath>

#include "io/image.h"
#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("write_image: PNG keeps every pixel, JPEG nearly") {
  const TempFolder folder;
  for (const int channels : {1, 3}) {
    const io::Image image = smooth_picture(67, 41, channels);
    io::write_image(folder / "a.PNG", image);
    const io::Image png = io::read_image(folder / "a.PNG", channels);
    CHECK(png.width == 67);
    CHECK(png.height == 41);
    CHECK(png.pixels == image.pixels);
    for (const char* name : {"a.jpg", "a.jpeg"}) {
      io::write_image(folder / name, image, 95);
      const io::Image jpeg = io::read_image(folder / name, channels);
      REQUIRE(jpeg.pixels.size() == image.pixels.size());
      double squares = 0;
      for (std::size_t i = 0; i < image.pixels.size(); ++i) squares += std::pow(jpeg.pixels[i] - image.pixels[i], 2);
      CHECK(std::sqrt(squares / static_cast<double>(image.pixels.size())) < 3);
    }
    CHECK(io::encode_jpeg(image, 20).size() < io::encode_jpeg(image, 95).size());
  }
  CHECK(folder.entries() == 3);
}

TEST_CASE("write_image: what cannot be written is an error and leaves no file") {
  const TempFolder folder;
  const io::Image image = smooth_picture(5, 3, 3);
  CHECK(says(error_of([&] { io::write_image(folder / "a.gif", image); }), "a.gif: "));
  CHECK(says(error_of([&] { io::write_image(folder / "a.jpg", image, 0); }), "quality 0"));
  CHECK(says(error_of([&] { io::write_image(folder / "no/a.png", image); }), "no/a.png"));
  io::Image wrong = image;
  wrong.pixels.pop_back();
  CHECK(says(error_of([&] { io::write_image(folder / "a.png", wrong); }), "do not fit"));
  wrong = {.width = 0, .height = 3, .channels = 3};
  CHECK(says(error_of([&] { io::encode_jpeg(wrong); }), "0 x 3"));
  wrong = {.width = 65536, .height = 1, .channels = 1, .pixels = ByteVector(65536, 0)};
  CHECK(says(error_of([&] { io::write_image(folder / "a.jpg", wrong); }), "65536 x 1"));
  CHECK(folder.entries() == 0);
}
