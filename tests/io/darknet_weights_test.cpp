#include "io/darknet_weights.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/errors.h"
#include "tests/io/byte_files.h"
#include "tests/io/picture_support.h"

namespace fs = std::filesystem;
using namespace rook::test;
using rook::Error;
using rook::io::DarknetWeights;
using rook::io::parse_darknet_weights;
using rook::io::read_darknet_weights;
using rook::io::write_darknet_weights;

namespace {

template <class T>
void append(Bytes& bytes, T value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof(T));
}

// A file laid out by hand; Seen is the type of its `seen`.
template <class Seen>
Bytes file_of(std::int32_t major, std::int32_t minor, std::int32_t revision, Seen seen,
              const std::vector<float>& payload) {
  Bytes bytes;
  append(bytes, major);
  append(bytes, minor);
  append(bytes, revision);
  append(bytes, seen);
  for (const float value : payload) append(bytes, value);
  return bytes;
}

std::string weights_fault(const Bytes& bytes) {
  return error_of([&] { parse_darknet_weights(bytes, "some.weights"); });
}

}  // namespace

TEST_CASE("weights: a file of version 0.2 has 64 bits of seen") {
  const Bytes bytes = file_of<std::uint64_t>(0, 2, 5, 0x1'0000'0007, {1.5f, -2.0f, 0.25f});
  const DarknetWeights weights = parse_darknet_weights(bytes, "some.weights");
  CHECK(weights.header.major == 0);
  CHECK(weights.header.minor == 2);
  CHECK(weights.header.revision == 5);
  CHECK(weights.header.seen == 0x1'0000'0007);
  CHECK(weights.header.bytes == 20);
  CHECK(weights.payload == std::vector<float>{1.5f, -2.0f, 0.25f});
  CHECK(weights.file == "some.weights");
}

TEST_CASE("weights: the header's size follows the version") {
  struct Case {
    std::int32_t major, minor;
    int header;
  };
  // 64 bits of seen if major * 10 + minor >= 2, unless one of them is >= 1000 (ancient, transposed files).
  for (const Case& c : {Case{0, 0, 16}, Case{0, 1, 16}, Case{0, 2, 20}, Case{0, 3, 20}, Case{1, 0, 20},
                        Case{999, 999, 20}, Case{1000, 0, 16}, Case{0, 1000, 16}, Case{1001, 1001, 16}}) {
    CAPTURE(c.major);
    CAPTURE(c.minor);
    const std::vector<float> payload = {3.0f, 5.0f};
    const Bytes bytes = c.header == 20 ? file_of<std::uint64_t>(c.major, c.minor, 0, 640, payload)
                                       : file_of<std::uint32_t>(c.major, c.minor, 0, 640, payload);
    const DarknetWeights weights = parse_darknet_weights(bytes, "some.weights");
    CHECK(weights.header.bytes == c.header);
    CHECK(weights.header.seen == 640);
    CHECK(weights.payload == payload);
  }
}

TEST_CASE("weights: faults are named") {
  const std::vector<float> two = {1.0f, 2.0f};
  CHECK(contains(weights_fault({}), "some.weights: 0 bytes are too few"));
  CHECK(contains(weights_fault(file_of<std::uint64_t>(0, 2, 5, 0, {})), "without any weights"));
  CHECK(contains(weights_fault(file_of<std::uint64_t>(-1, 2, 5, 0, two)), "not a darknet weights file"));
  CHECK(contains(weights_fault(file_of<std::uint64_t>(0, 0x04034b50, 5, 0, two)), "not a darknet weights file"));

  Bytes ragged = file_of<std::uint64_t>(0, 2, 5, 0, two);
  ragged.pop_back();
  CHECK(contains(weights_fault(ragged), "7 bytes after the header"));

  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    const std::string message = weights_fault(file_of<std::uint64_t>(0, 2, 5, 0, {1.0f, 2.0f, bad, bad}));
    CHECK(contains(message, "some.weights: weight 2 of 4 (byte 28) is "));
    CHECK(!contains(message, "\n"));
  }
  CHECK(contains(weights_fault(file_of<std::uint32_t>(0, 1, 0, 0, {NAN})), "(byte 16)"));
}

TEST_CASE("weights: truncated at every byte it is an error, or a shorter list of whole floats") {
  for (const bool old : {false, true}) {
    const std::vector<float> payload = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    const Bytes whole = old ? file_of<std::uint32_t>(0, 1, 0, 9, payload) : file_of<std::uint64_t>(0, 2, 0, 9, payload);
    const std::size_t header = old ? 16 : 20;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      if (size > header &&
          (size - header) % 4 == 0) {  // the format cannot show this; the importer counts (darknet.md 2.5)
        const DarknetWeights weights = parse_darknet_weights(part, "x");
        REQUIRE(weights.payload.size() == (size - header) / 4);
        CHECK(weights.payload.back() == payload[weights.payload.size() - 1]);
      } else {
        CHECK_THROWS_AS(parse_darknet_weights(part, "x"), Error);
      }
    }
  }
}

TEST_CASE("weights: every flipped bit is an error or is read as what the bytes now say, and is written back as them") {
  const TempFolder folder;
  const Bytes whole = file_of<std::uint64_t>(0, 2, 5, 12800, {1.0f, -0.0f, 1e-40f});
  int read = 0, refused = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    CAPTURE(bit);
    Bytes changed = whole;
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    DarknetWeights weights;
    try {
      weights = parse_darknet_weights(changed, "x");
    } catch (const Error&) {
      ++refused;
      continue;
    }
    ++read;
    write_darknet_weights(folder / "a.weights", weights);
    CHECK(bytes_of(folder / "a.weights") == changed);
  }
  // Refused are at least the sign and high bits of three version numbers, and the one bit that makes 1.0f infinite.
  CHECK(refused >= 3 * 16 + 1);
  CHECK(read > 64);
}

TEST_CASE("weights: what is written is read back to the bit") {
  const TempFolder folder;
  std::mt19937 random(7);
  for (const int count : {1, 2, 3, 17, 101, 4099}) {
    CAPTURE(count);
    DarknetWeights weights;
    weights.header.seen = (std::uint64_t{random()} << 32) | random();
    while (weights.payload.size() < static_cast<std::size_t>(count)) {
      const std::uint32_t bits = random();
      float value = 0;
      std::memcpy(&value, &bits, sizeof value);
      if (std::isfinite(value)) weights.payload.push_back(value);
    }
    const fs::path file = folder / "a.weights";
    write_darknet_weights(file, weights);
    CHECK(fs::file_size(file) == 20 + 4u * static_cast<unsigned>(count));
    const DarknetWeights back = read_darknet_weights(file);
    CHECK(back.header.seen == weights.header.seen);
    CHECK(back.header.revision == 5);
    CHECK(back.file == file.string());
    REQUIRE(back.payload.size() == weights.payload.size());
    CHECK(std::memcmp(back.payload.data(), weights.payload.data(), weights.payload.size() * 4) == 0);
  }
}

TEST_CASE("weights: what would not be read back is not written") {
  const TempFolder folder;
  const fs::path file = folder / "a.weights";
  DarknetWeights weights;
  CHECK_THROWS_AS(write_darknet_weights(file, weights), Error);  // nothing in it
  weights.payload = {1.0f, NAN};
  CHECK_THROWS_AS(write_darknet_weights(file, weights), Error);
  weights.payload = {1.0f};
  weights.header.bytes = 16;  // but the version says 20
  CHECK_THROWS_AS(write_darknet_weights(file, weights), Error);
  weights.header.minor = 1;
  weights.header.seen = 0x1'0000'0000;  // more than the old header holds
  CHECK_THROWS_AS(write_darknet_weights(file, weights), Error);
  CHECK(folder.entries() == 0);
  weights.header.seen = 0xffff'ffff;
  write_darknet_weights(file, weights);
  CHECK(fs::file_size(file) == 20);
  CHECK(read_darknet_weights(file).header.seen == 0xffff'ffff);
}

TEST_CASE("weights: a missing file and a folder are errors that name it") {
  const TempFolder folder;
  CHECK_THROWS_WITH_AS(read_darknet_weights(folder / "none.weights"), doctest::Contains("none.weights: no such file"),
                       Error);
  CHECK_THROWS_WITH_AS(read_darknet_weights(folder / "."), doctest::Contains("not a regular file"), Error);
}

TEST_CASE("weights: published files are read and written back byte for byte") {
  const char* assets = std::getenv("ROOK_ASSETS");
  if (assets == nullptr || *assets == '\0') {
    MESSAGE("skipped: ROOK_ASSETS is not set");
    return;
  }
  const TempFolder folder;
  int files = 0, old_headers = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(assets) / "weights")) {
    const fs::path& file = entry.path();
    if (file.extension() != ".weights" && !contains(file.filename().string(), ".conv.")) {
      continue;
    }
    CAPTURE(file.string());
    const DarknetWeights weights = read_darknet_weights(file);
    CHECK(weights.payload.size() * 4 + static_cast<std::size_t>(weights.header.bytes) == fs::file_size(file));
    write_darknet_weights(folder / "copy.weights", weights);
    const bool same = bytes_of(folder / "copy.weights") == bytes_of(file);
    CHECK(same);
    ++files;
    if (weights.header.bytes == 16) ++old_headers;
  }
  CHECK(files >= 8);
  CHECK(old_headers >= 1);  // yolo-lite
}
