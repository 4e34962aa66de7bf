#include "io/exif.h"

#include <random>

#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("exif: every orientation in both byte orders") {
  for (const bool little : {true, false}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      CHECK(io::exif_orientation(make_exif(orientation, little)) == orientation);
    }
    for (const int wrong : {0, 9, 255, 65535}) CHECK(io::exif_orientation(make_exif(wrong, little)) == 1);
  }
}

TEST_CASE("exif: a LONG is taken too, other types and counts are not") {
  constexpr std::size_t kType = 8 + 2 + 12 + 2, kCount = kType + 2, kValue = kCount + 4;
  ByteVector exif = make_exif(6, false);
  exif[kType + 1] = 4;
  CHECK(io::exif_orientation(exif) == 1);  // 6 lies in the upper half of the LONG
  exif[kValue + 1] = 0;
  exif[kValue + 3] = 6;
  CHECK(io::exif_orientation(exif) == 6);
  exif[kType + 1] = 5;
  CHECK(io::exif_orientation(exif) == 1);
  exif[kType + 1] = 4;
  exif[kCount + 3] = 2;
  CHECK(io::exif_orientation(exif) == 1);
}

TEST_CASE("exif: cut off at any byte it is the right orientation or none") {
  for (const bool little : {true, false}) {
    const ByteVector whole = make_exif(8, little);
    constexpr std::size_t kEndOfEntry = 8 + 2 + 2 * 12;
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      const ByteVector cut(whole.begin(),
                           whole.begin() + static_cast<std::ptrdiff_t>(size));  // its own allocation, for ASan
      CHECK(io::exif_orientation(cut) == (size >= kEndOfEntry ? 8 : 1));
    }
  }
}

TEST_CASE("exif: offsets and counts that point anywhere are survived") {
  for (const std::uint32_t offset :
       {0u, 1u, 7u, 9u, 33u, 37u, 38u, 39u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFF4u, 0xFFFFFFFFu}) {
    ByteVector exif = make_exif(6, true);
    for (std::size_t i = 0; i < 4; ++i) exif[4 + i] = static_cast<std::uint8_t>(offset >> (8 * i));
    CHECK(io::exif_orientation(exif) == 1);
  }
  ByteVector many = make_exif(6, true);
  many[8] = many[9] = 0xFF;  // 65535 entries
  CHECK(io::exif_orientation(many) == 6);
  many[8 + 2 + 12] = 0x13;  // and none of them the orientation
  CHECK(io::exif_orientation(many) == 1);
}

TEST_CASE("exif: noise gives an orientation") {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    ByteVector exif = make_exif(3, round % 2 == 0);
    for (int k = 0; k < 1 + round % 4; ++k) exif[random() % exif.size()] = static_cast<std::uint8_t>(random());
    const int orientation = io::exif_orientation(exif);
    REQUIRE((orientation >= 1 && orientation <= 8));
  }
}
