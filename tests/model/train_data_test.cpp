// Photos that reading the labels lets through, and decoding does not.
#include "model/train_data.h"

#include <doctest/doctest.h>

#include "io/image.h"
#include "tests/errors.h"
#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("photo cache: photos with damage in their pixel data are counted and the first is named") {
  const TempFolder folder;
  io::Image picture{.width = 64, .height = 48};
  for (int i = 0; i < 64 * 48 * 3; ++i) picture.pixels.push_back(static_cast<std::uint8_t>(i * i / 50));
  const ByteVector whole = io::encode_jpeg(picture);
  ByteVector damaged = whole;  // a run of ones is no code
  for (std::size_t i = whole.size() / 2; i < whole.size() - 2; ++i) damaged[i] = i % 2 == 0 ? 0xFF : 0x00;
  io::Split split{.name = "train", .images = {}};
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg"}) {
    save(folder / name, name[0] == 'a' ? whole : damaged);
    io::LabelledImage image;
    image.file = folder / name;
    image.name = name;
    split.images.push_back(image);
  }
  const std::string message = error_of([&] { PhotoCache(split, 32, 32, {}); });
  INFO(message);
  CHECK(message.starts_with((folder / "b.jpg").string() + ": cannot be decoded"));
  CHECK(message.find("2 of 3 photos cannot be used; `rook data check --decode` lists all") != std::string::npos);
}
