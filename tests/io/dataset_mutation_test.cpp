// Broken files: cut off at every byte, bits flipped. Whatever comes, it is an Error or a dataset that keeps its
// promises.
#include <cmath>
#include <functional>
#include <random>

#include "dataset_support.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

namespace {

void check_promises(const io::Dataset& dataset) {
  std::size_t images = 0;
  for (const io::Split& split : dataset.splits) {
    images += split.images.size();
    for (const io::LabelledImage& image : split.images) {
      CHECK(image.width > 0);
      CHECK(fs::is_regular_file(image.file));
      for (const io::LabelBox& box : image.boxes) {
        CHECK(box.cls >= 0);
        CHECK(box.cls < static_cast<int>(dataset.classes.size()));
        CHECK((box.w > 0 && box.h > 0));
        constexpr float kSlack = 2e-6f;
        CHECK((box.x - box.w / 2 >= -kSlack && box.x + box.w / 2 <= 1 + kSlack));
        CHECK((box.y - box.h / 2 >= -kSlack && box.y + box.h / 2 <= 1 + kSlack));
      }
    }
  }
  CHECK(images > 0);
  for (const std::string& name : dataset.classes) CHECK(!name.empty());
  for (const io::Fault& fault : dataset.faults) CHECK(!fault.message.empty());
}

// Reads; true when that gave a dataset without faults.
bool reads_cleanly(const fs::path& where) {
  try {
    const io::Dataset dataset = read_dataset(where);
    check_promises(dataset);
    return dataset.faults.empty();
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(!message.empty());
    CHECK(message.find('\n') == std::string::npos);
    return false;
  }
}

// Cuts `file` at every byte; `cut_is_whole(n)` says whether the first n bytes are a whole file again.
void check_cuts(const fs::path& file, const fs::path& where, const std::function<bool(std::size_t)>& cut_is_whole) {
  const ByteVector whole = load(file);
  REQUIRE(reads_cleanly(where));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    save(file, std::span(whole).first(n));
    INFO(file.filename().string() << " cut at " << n);
    CHECK(reads_cleanly(where) == cut_is_whole(n));
  }
  save(file, whole);
}

void flip_bits(const fs::path& file, const fs::path& where, unsigned seed, bool clean = true) {
  const ByteVector whole = load(file);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    ByteVector broken = whole;
    for (int i = 0, flips = 1 + round % 3; i < flips; ++i) {
      broken[random() % broken.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
    save(file, broken);
    INFO(file.filename().string() << " seed " << seed << " round " << round);
    reads_cleanly(where);
  }
  save(file, whole);
  CHECK(reads_cleanly(where) == clean);
}

}  // namespace

TEST_CASE("dataset mutations: COCO JSON") {
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  const std::string text = coco_text(R"({"id": 0, "image_id": 9, "category_id": 1, "bbox": [1, 1, 2.5, 2]},
{"id": 1, "image_id": 9, "category_id": 5, "bbox": [3, 1e0, 2, 2], "segmentation": [[1, 2, 3, 4]], "iscrowd": 0})");
  const fs::path file = put(folder / "_annotations.coco.json", text);
  const std::size_t end = text.rfind('}') + 1;
  check_cuts(file, folder / "", [&](std::size_t n) { return n >= end; });
  flip_bits(file, folder / "", 1);
}

TEST_CASE("dataset mutations: YOLO labels") {
  const TempFolder folder;
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "classes.txt", "cat\ndog\n");
  const std::string text = "0 0.5 0.5 0.25 0.25\n1 0.75 0.75 0.5 0.5\r\n";
  const fs::path file = put(folder / "labels/a.txt", text);
  // A cut number is a number still: only whole fields can be told. A last field of zero is a box without area.
  check_cuts(file, folder / "", [&](std::size_t n) {
    const std::string cut = text.substr(0, n);
    const std::string line = cut.substr(cut.rfind('\n') + 1);
    const bool fields = std::count(line.begin(), line.end(), ' ') == 4 && line.back() >= '1';
    return line.empty() || fields || line.back() == '\r';
  });
  flip_bits(file, folder / "", 2);
}

TEST_CASE("dataset mutations: polygons") {
  const TempFolder folder;
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "classes.txt", "cat\ndog\n");
  const std::string text = "0 0.5 0.5 0.75 0.5 0.75 0.75 0.5 0.75\n1 0.25 0.25 0.5 0.25 0.5 0.75\n";
  const fs::path file = put(folder / "labels/a.txt", text);
  for (std::size_t n = 0; n < text.size(); ++n) {  // polygons are told, so that no cut is without a fault
    put(file, text.substr(0, n));
    reads_cleanly(folder / "");
  }
  put(file, text);
  flip_bits(file, folder / "", 8, false);
}

TEST_CASE("dataset mutations: VOC XML") {
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  put(folder / "classes.txt", "cat\ndog\n");
  const std::string text = voc_text(voc_object("dog", "1", "1", "10", "5") + voc_object("cat", "3", "2.5", "6", "4"));
  const fs::path file = put(folder / "a.xml", text);
  const std::size_t end = text.rfind('>') + 1;
  check_cuts(file, folder / "", [&](std::size_t n) { return n >= end; });
  flip_bits(file, folder / "", 3);
}

TEST_CASE("dataset mutations: data.yaml") {
  const TempFolder folder;
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "labels/a.txt", "1 .5 .5 .5 .5\n");
  const std::string text = "# set\ntrain: images\nnc: 2\nnames:\n  0: cat\n  1: 'dog'\n";
  const fs::path file = put(folder / "data.yaml", text);
  // Without all names the classes are numbered, and that is told.
  check_cuts(file, folder / "data.yaml", [&](std::size_t n) { return n >= text.size() - 1; });
  flip_bits(file, folder / "data.yaml", 4);
}

TEST_CASE("dataset mutations: darknet .data, its lists and names") {
  const TempFolder folder;
  put_photo(folder / "obj/a.bmp", 20, 10, 1);
  put(folder / "obj/a.txt", "1 .5 .5 .5 .5\n");
  const fs::path list = put(folder / "list.txt", "obj/a.bmp\n");
  const fs::path names = put(folder / "obj.names", "cat\ndog\n");
  const std::string text = "classes = 2\nnames = obj.names\ntrain = list.txt\n";
  const fs::path file = put(folder / "obj.data", text);
  check_cuts(file, file, [&](std::size_t n) { return n >= text.size() - 1; });
  check_cuts(list, file, [](std::size_t n) { return n >= 9; });
  check_cuts(names, file, [](std::size_t n) { return n >= 5; });  // "d" is a name as good as "dog"
  flip_bits(file, file, 5);
  flip_bits(list, file, 6);
  flip_bits(names, file, 7);
}

TEST_CASE("dataset mutations: deep nesting is an error, not a crash") {
  const TempFolder folder;
  const std::string deep(100000, '[');
  CHECK(!reads_cleanly(put(folder / "a.json", "{\"images\": " + deep)));
  CHECK(!reads_cleanly(put(folder / "a.yaml", "train: " + deep)));
  put_photo(folder / "v/a.bmp", 20, 10, 1);
  std::string xml;
  for (int i = 0; i < 20000; ++i) xml += "<a>";
  put(folder / "v/a.xml", xml);
  CHECK(!reads_cleanly(folder / "v"));
}
