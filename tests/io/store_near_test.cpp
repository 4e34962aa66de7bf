// The near-duplicate hash: copies of a photo are near, photos of other things are not.
#include "store_support.h"

using namespace rook;
using namespace rook::test;

namespace {

constexpr int kLimit = 8;

// Every second pixel, every third, ...: the crudest way of making a photo smaller.
io::Image picked(const io::Image& photo, int width, int height) {
  io::Image result{.width = width, .height = height};
  result.pixels.reserve(static_cast<std::size_t>(width) * height * 3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::size_t at = (static_cast<std::size_t>((2 * y + 1) * photo.height / (2 * height)) * photo.width +
                              (2 * x + 1) * photo.width / (2 * width)) *
                             3;
      result.pixels.insert(result.pixels.end(), &photo.pixels[at], &photo.pixels[at] + 3);
    }
  return result;
}

io::Image as_jpeg(const io::Image& photo, int quality) {
  return io::decode_image(io::encode_jpeg(photo, quality), "copy");
}

}  // namespace

TEST_CASE("near hash: a bit says where it gets brighter to the right") {
  constexpr int kSide = io::NearHash::kSide;
  // Columns of one pixel; the picture brightens once, from column 4 to 5, and darkens from 8 to 9.
  io::Image image{.width = kSide + 1, .height = kSide};
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      image.pixels.insert(image.pixels.end(), 3, static_cast<std::uint8_t>(x >= 5 && x < 9 ? 200 : 100));
  const io::NearHash hash = io::near_hash(image);
  for (int bit = 0; bit < io::NearHash::kBits; ++bit)
    CHECK((hash.words[static_cast<std::size_t>(bit / 64)] >> bit % 64 & 1) == (bit % kSide == 4 ? 1u : 0u));
  CHECK_FALSE(io::has_structure(hash));  // 16 bits of 256
}

TEST_CASE("near hash: text there and back") {
  const io::NearHash hash = io::near_hash(scene(3));
  CHECK(io::near_hash_from_text(io::to_text(hash)) == hash);
  const std::string text = io::to_text(hash);
  CHECK_FALSE(io::near_hash_from_text(text.substr(1)));
  CHECK_FALSE(io::near_hash_from_text(text + "0"));
  CHECK_FALSE(io::near_hash_from_text("g" + text.substr(1)));
  CHECK_FALSE(io::near_hash_from_text("A" + text.substr(1)));
}

TEST_CASE("near hash: any size, one pixel as well; grey as colour") {
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 3}, {17, 16}, {16, 17}, {1000, 1}, {1, 1000}, {333, 77}}) {
    const io::Image photo = scene(9, width, height);
    const io::NearHash hash = io::near_hash(photo);
    io::Image grey{.width = width, .height = height, .channels = 1};
    for (std::size_t i = 0; i < photo.pixels.size(); i += 3) grey.pixels.push_back(photo.pixels[i]);
    CHECK(io::distance(io::near_hash(grey), hash) <= 2);
  }
}

TEST_CASE("near hash: copies are near, others far") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const io::Image photo = scene(seed, 340, 320);
    const io::NearHash hash = io::near_hash(photo);
    CHECK(io::has_structure(hash));
    CHECK(io::distance(hash, hash) == 0);
    CHECK(io::distance(hash, io::near_hash(as_jpeg(photo, 50))) <= kLimit);
    CHECK(io::distance(hash, io::near_hash(picked(photo, 170, 160))) <= kLimit);
    CHECK(io::distance(hash, io::near_hash(picked(photo, 680, 640))) <= kLimit);
    CHECK(io::distance(hash, io::near_hash(scene(seed + 100, 340, 320))) > 5 * kLimit);
  }
}
