// SHA-256 against the examples of FIPS 180-4.
#include "io/content_hash.h"

#include <cmath>
#include <map>

#include "picture_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("content hash: the published examples") {
  CHECK(io::content_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(io::content_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(io::content_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(io::content_hash(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("content hash: a file, also longer than what is read at once") {
  const TempFolder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, (std::size_t{1} << 20) + 5}) {
    ByteVector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
    save(folder / "file", bytes);
    CHECK(io::content_hash_of_file(folder / "file") == io::content_hash(std::as_bytes(std::span(bytes))));
  }
  CHECK(error_of([&] { io::content_hash_of_file(folder / "none"); }).find("none") != std::string::npos);
}

TEST_CASE("content hash: its share is spread evenly and known from its digits") {
  CHECK(io::share_of_hash(std::string(64, '0')) == 0);
  CHECK(io::share_of_hash("8" + std::string(63, '0')) == 0.5);
  CHECK(io::share_of_hash(std::string(64, 'f')) < 1);
  std::map<int, int> tenths;
  for (int i = 0; i < 10000; ++i)
    ++tenths[static_cast<int>(10 * io::share_of_hash(io::content_hash(std::to_string(i))))];
  for (const auto& [tenth, count] : tenths) {
    CHECK(tenth < 10);
    CHECK(std::abs(count - 1000) < 120);  // 4 standard deviations
  }
}
