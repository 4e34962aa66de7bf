#include "io/atomic_file.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;

namespace {

void write(const std::filesystem::path& file, const ByteVector& bytes) {
  io::write_file_atomically(file, std::as_bytes(std::span(bytes)));
}

// While it lives, no file may grow beyond `bytes`: what a full disk looks like to the writer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

}  // namespace

TEST_CASE("write_file_atomically: new, replaced and empty files, and nothing else in the folder") {
  const TempFolder folder;
  const auto file = folder / "a.bin";
  ByteVector big(3000001);
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  for (const ByteVector& bytes : {ByteVector{1, 2, 3}, big, ByteVector{}}) {
    write(file, bytes);
    CHECK(load(file) == bytes);
    CHECK(folder.entries() == 1);
  }
  const auto longest = folder / std::string(255, 'x');  // no room for a longer temporary name
  write(longest, {9});
  CHECK(load(longest) == ByteVector{9});
}

TEST_CASE("write_file_atomically: a write that fails half-way leaves the old file and no other") {
  const TempFolder folder;
  const auto file = folder / "weights.bin";
  const ByteVector old = {1, 2, 3, 4};
  write(file, old);
  std::string message;
  {
    const FileSizeLimit limit(65536);
    message = error_of([&] { write(file, ByteVector(200000, 7)); });
  }
  CHECK(message.find(file.string()) != std::string::npos);
  CHECK(message.find("File too large") != std::string::npos);
  CHECK(load(file) == old);
  CHECK(folder.entries() == 1);
}

TEST_CASE("write_file_atomically: errors name the file and the reason") {
  const TempFolder folder;
  const auto nowhere = folder / "no/such/folder.bin";
  const std::string missing = error_of([&] { write(nowhere, {1}); });
  CHECK(missing.find(nowhere.string()) != std::string::npos);
  CHECK(missing.find("No such file or directory") != std::string::npos);
  std::filesystem::create_directory(folder / "taken");
  CHECK(error_of([&] { write(folder / "taken", {1}); }).find("Is a directory") != std::string::npos);
  CHECK(folder.entries() == 1);
}

TEST_CASE("write_file_atomically: a device is written to, not replaced") {
  write("/dev/null", {1, 2});
  CHECK(std::filesystem::is_character_file("/dev/null"));
  CHECK(error_of([&] { write("/dev/full", {1}); }).find("No space left") != std::string::npos);
  CHECK(std::filesystem::is_character_file("/dev/full"));
}

TEST_CASE("write_file_atomically: a name without folder goes to the current one") {
  const TempFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder / "");
  write("plain.bin", {5});
  std::filesystem::current_path(before);
  CHECK(load(folder / "plain.bin") == ByteVector{5});
}
