// `rook data convert` as a user calls it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/dataset.h"
#include "io/image.h"
#include "tests/process.h"

namespace fs = std::filesystem;
using namespace rook;

namespace {

struct Scratch {
  fs::path folder = fs::temp_directory_path() / fmt::format("rook-data-{}", getpid());
  Scratch() { fs::create_directories(folder); }
  ~Scratch() { fs::remove_all(folder); }
};

// Left half red, right half blue.
void put_photo(const fs::path& file, int width, int height) {
  io::Image image{.width = width, .height = height};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const bool left = x < width / 2;
      image.pixels.insert(image.pixels.end(),
                          {static_cast<std::uint8_t>(left ? 250 : 10), 20, static_cast<std::uint8_t>(left ? 10 : 250)});
    }
  io::write_image(file, image);
}

// Two photos of one split with equal names in different folders, in darknet's layout.
void put_dataset(const fs::path& folder) {
  for (const char* part : {"a", "b"}) fs::create_directories(folder / part);
  put_photo(folder / "a/x.png", 40, 20);
  put_photo(folder / "b/x.jpg", 20, 60);
  std::ofstream(folder / "a/x.txt") << "1 0.25 0.5 0.5 1\n";
  std::ofstream(folder / "b/x.txt") << "0 0.75 0.5 0.25 0.5\n";
  std::ofstream(folder / "train.txt") << "a/x.png\nb/x.jpg\n";
  std::ofstream(folder / "obj.names") << "blue\nred\n";
  std::ofstream(folder / "obj.data") << "classes = 2\ntrain = train.txt\nnames = obj.names\n";
}

}  // namespace

TEST_CASE("rook data convert --resize stretches the photos and keeps the boxes") {
  const char* program = std::getenv("ROOK_PROGRAM");
  REQUIRE_MESSAGE(program, "ROOK_PROGRAM names the program; ctest sets it");
  const Scratch scratch;
  put_dataset(scratch.folder / "in");
  const std::string in = (scratch.folder / "in/obj.data").string(), out = (scratch.folder / "out").string();
  test::Child child(scratch.folder, {program, "data", "convert", in, out + "/", "--resize", "24x16"});
  REQUIRE_MESSAGE(child.wait() == 0, child.err());
  const io::Dataset dataset = io::read_dataset(out);
  CHECK(dataset.faults.empty());
  REQUIRE(dataset.splits.size() == 1);
  REQUIRE(dataset.splits[0].images.size() == 2);
  for (const io::LabelledImage& labelled : dataset.splits[0].images) {
    CHECK(labelled.width == 24);
    CHECK(labelled.height == 16);
    const io::Image image = io::read_image(labelled.file);
    REQUIRE(image.pixels.size() == 24u * 16 * 3);
    CHECK(image.pixels[0] > 200);  // red
    CHECK(image.pixels[23 * 3] < 60);
    CHECK(image.pixels[23 * 3 + 2] > 200);  // blue
    REQUIRE(labelled.boxes.size() == 1);
    const io::LabelBox& box = labelled.boxes[0];
    const bool first = box.cls == 1;
    CHECK(std::abs(box.x - (first ? 0.25f : 0.75f)) < 1e-4f);
    CHECK(std::abs(box.w - (first ? 0.5f : 0.25f)) < 1e-4f);
    CHECK(std::abs(box.h - (first ? 1.0f : 0.5f)) < 1e-4f);
    CHECK(labelled.file.extension() == (first ? ".png" : ".jpg"));
  }
  CHECK_FALSE(fs::exists(out + ".photos"));
}

TEST_CASE("rook data convert --resize: what is no size is an error, and leaves nothing behind") {
  const char* program = std::getenv("ROOK_PROGRAM");
  REQUIRE_MESSAGE(program, "ROOK_PROGRAM names the program; ctest sets it");
  const Scratch scratch;
  put_dataset(scratch.folder / "in");
  for (const char* size : {"24", "24x", "0x16", "24x16x3", "24x99999"}) {
    test::Child child(scratch.folder, {program, "data", "convert", (scratch.folder / "in/obj.data").string(),
                                       (scratch.folder / "out").string(), "--resize", size});
    CHECK(child.wait() == 2);
    CHECK(child.err().find(fmt::format("--resize {}: write WIDTHxHEIGHT", size)) != std::string::npos);
    CHECK_FALSE(fs::exists(scratch.folder / "out"));
    CHECK_FALSE(fs::exists(scratch.folder / "out.photos"));
  }
}

TEST_CASE("rook data anchors: fits anchors to the boxes, and writes a cfg that trains with them") {
  const char* program = std::getenv("ROOK_PROGRAM");
  REQUIRE_MESSAGE(program, "ROOK_PROGRAM names the program; ctest sets it");
  const Scratch scratch;
  const fs::path in = scratch.folder / "in";
  put_dataset(in);
  // Six shapes, as many as there are anchors.
  std::ofstream(in / "a/x.txt") << "1 0.25 0.5 0.5 1\n1 0.5 0.5 0.1 0.2\n0 0.5 0.5 0.3 0.1\n0 0.5 0.5 0.3 0.3\n";
  std::ofstream(in / "b/x.txt") << "0 0.75 0.5 0.25 0.5\n0 0.5 0.5 0.125 0.75\n";
  const std::string data = (in / "obj.data").string(), cfg = (scratch.folder / "fitted.cfg").string();
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), program);
    test::Child child(scratch.folder, words);
    const int status = child.wait();
    return std::pair(status, status == 0 ? child.out() : child.err());
  };
  const auto [status, text] =
      run({"data", "anchors", data, "--arch", "rook-nano", "--size", "320", "--together", "--out", cfg});
  REQUIRE_MESSAGE(status == 0, text);
  INFO(text);
  CHECK(text.find("6 boxes of 2 photos (train) at 320x320") != std::string::npos);
  CHECK(text.find("anchors fitted to these boxes: mean IoU of a box with its best anchor 1.000, below 0.5: 0.0 %") !=
        std::string::npos);
  CHECK(text.find("anchors=32.0,64.0, 96.0,32.0, 96.0,96.0, 40.0,240.0, 80.0,160.0, 160.0,320.0") != std::string::npos);
  const auto [trained, plan] = run({"train", "--data", data, "--arch", cfg, "--dry-run"});
  CHECK_MESSAGE(trained == 0, plan);
  const auto [again, message] = run({"data", "anchors", data, "--arch", "rook-nano", "--out", cfg});
  CHECK(again == 1);
  CHECK(message.find("exists; name a new file") != std::string::npos);
}
