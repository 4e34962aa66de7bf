// What tells copies of a photo from others: the hash is near, and the thumbnail is the same. On the real chess photos,
// which all show one board from one place, both limits are held.
#include <omp.h>

#include <algorithm>
#include <cstdlib>

#include "store_support.h"
#include "tests/sanitized.h"

using namespace rook;
using namespace rook::test;

namespace {

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

// Means over equal parts, which end anywhere within a pixel: how good programs shrink.
io::Image averaged(const io::Image& photo, int width, int height) {
  const double wide = static_cast<double>(photo.width) / width, high = static_cast<double>(photo.height) / height;
  const auto overlap = [](int pixel, double from, double to) {
    return std::min(pixel + 1.0, to) - std::max<double>(pixel, from);
  };
  io::Image result{.width = width, .height = height};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double left = x * wide, right = (x + 1) * wide, top = y * high, bottom = (y + 1) * high;
      std::array<double, 3> sum{};
      for (int v = static_cast<int>(top); v < photo.height && v < bottom; ++v) {
        const double down = overlap(v, top, bottom);
        const std::uint8_t* row = photo.pixels.data() + static_cast<std::size_t>(v) * photo.width * 3;
        for (int u = static_cast<int>(left); u < photo.width && u < right; ++u) {
          const double part = down * overlap(u, left, right);
          for (std::size_t c = 0; c < 3; ++c) sum[c] += part * row[static_cast<std::size_t>(u) * 3 + c];
        }
      }
      for (const double s : sum) result.pixels.push_back(static_cast<std::uint8_t>(std::lround(s / (wide * high))));
    }
  return result;
}

io::Image as_jpeg(const io::Image& photo, int quality) {
  return io::decode_image(io::encode_jpeg(photo, quality), "copy");
}

std::vector<fs::path> chess_photos() {
  const char* root = std::getenv("ROOK_ASSETS");
  std::vector<fs::path> files;
  if (root != nullptr && fs::exists(fs::path(root) / "chess"))
    for (const char* split : {"train", "valid", "test"})
      for (const auto& entry : fs::directory_iterator(fs::path(root) / "chess" / split))
        if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
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
    CHECK(io::distance(hash, io::near_hash(as_jpeg(photo, 50))) <= io::kNearLimit);
    CHECK(io::distance(hash, io::near_hash(picked(photo, 170, 160))) <= io::kNearLimit);
    CHECK(io::distance(hash, io::near_hash(picked(photo, 680, 640))) <= io::kNearLimit);
    CHECK(io::distance(hash, io::near_hash(scene(seed + 100, 340, 320))) > 5 * io::kNearLimit);
  }
}

TEST_CASE("near hash: of the chess photos, every copy is found, and no two are taken for one") {
  const std::vector<fs::path> all = chess_photos();
  if (all.empty()) {
    MESSAGE("skipped: ROOK_ASSETS is not set or has no chess");
    return;
  }
  REQUIRE(all.size() == 289);
  constexpr std::size_t kStep = kSanitized ? 32 : 1;  // decoding takes ten times as long
  struct Seen {
    io::NearHash hash;
    io::Thumbnail thumbnail;
    int bits = 0;  // the farthest copy's
    float apart = 0;
  };
  std::vector<Seen> seen((all.size() + kStep - 1) / kStep);
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const io::Image photo = io::read_image(all[i * kStep]);
    Seen& s = seen[i];
    s.hash = io::near_hash(photo);
    s.thumbnail = io::thumbnail(photo);
    for (const io::Image& copy : {as_jpeg(photo, 50), as_jpeg(averaged(photo, 416, 416), 85)}) {
      s.bits = std::max(s.bits, io::distance(s.hash, io::near_hash(copy)));
      s.apart = std::max(s.apart, io::difference(s.thumbnail, io::thumbnail(copy)));
    }
  }
  int bits = 0;
  float apart = 0, nearest = 255;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    bits = std::max(bits, seen[i].bits);
    apart = std::max(apart, seen[i].apart);
    for (std::size_t k = 0; k < i; ++k)
      nearest = std::min(nearest, io::difference(seen[i].thumbnail, seen[k].thumbnail));
  }
  CHECK(bits <= io::kNearLimit);
  CHECK(apart <= io::kThumbnailLimit);
  CHECK(nearest > io::kThumbnailLimit);
  MESSAGE("farthest copies: " << bits << " bits, " << apart << " levels; nearest two photos: " << nearest << " levels");
}
