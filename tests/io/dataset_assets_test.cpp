// The real datasets in ROOK_ASSETS, by the counts their README gives.
#include <cstdlib>
#include <ctime>

#include "dataset_support.h"
#include "io/census.h"
#include "io/dataset_write.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

namespace {

// The folder of real data, or empty, which is said.
fs::path assets(const char* part) {
  const char* root = std::getenv("ROOK_ASSETS");
  if (root != nullptr && fs::exists(fs::path(root) / part)) return fs::path(root) / part;
  MESSAGE("skipped: ROOK_ASSETS is not set or has no " << std::string(part));
  return {};
}

std::size_t count_boxes(const io::Split& split) {
  std::size_t count = 0;
  for (const io::LabelledImage& image : split.images) count += image.boxes.size();
  return count;
}

}  // namespace

TEST_CASE("dataset assets: chess") {
  const fs::path folder = assets("chess");
  if (folder.empty()) return;
  const std::clock_t start = std::clock();  // time of the processor: others may be busy
  const io::Dataset dataset =
      read_dataset(folder, {.merge = {{"bishop", "black-bishop"}}, .drop_unused_classes = true});
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  CHECK(seconds < 2);  // about 0.06: no pixels are decoded
  CHECK(dataset.format == "coco");
  CHECK(dataset.classes == std::vector<std::string>{"black-bishop", "black-king", "black-knight", "black-pawn",
                                                    "black-queen", "black-rook", "white-bishop", "white-king",
                                                    "white-knight", "white-pawn", "white-queen", "white-rook"});
  const std::size_t images[] = {202, 58, 29}, boxes[] = {2108, 386, 376};
  REQUIRE(dataset.splits.size() == 3);
  for (std::size_t s = 0; s < 3; ++s) {
    CHECK(dataset.splits[s].images.size() == images[s]);
    CHECK(count_boxes(dataset.splits[s]) == boxes[s]);
    for (const io::LabelledImage& image : dataset.splits[s].images)
      CHECK((image.width == 2048 && image.height == 1371));
  }
  // The README knows of one box that stands twice, and of one empty board.
  REQUIRE(dataset.faults.size() == 1);
  CHECK(dataset.faults[0].kind == io::Fault::Kind::duplicate_box);
  CHECK(dataset.faults[0].message.starts_with("26d663ab"));
  CHECK(dataset.faults[0].line == 20258);
  CHECK(io::take_census(dataset).splits[2].negatives == 1);

  const io::Dataset raw = read_dataset(folder);
  CHECK(raw.classes.size() == 14);
  CHECK(raw.classes[0] == "pieces");
  CHECK(io::take_census(raw).splits[0].boxes_of_class[1] == 1);  // bishop
}

TEST_CASE("dataset assets: the lists of chess photos") {
  const fs::path folder = assets("chess");
  if (folder.empty()) return;
  const io::Dataset dataset = read_dataset(folder, {.read_sizes = false});
  io::Split first = *dataset.find("train"), added = first;
  io::keep_only(first, folder / "splits/v1_train.txt");
  io::keep_only(added, folder / "splits/added_100.txt");
  CHECK(first.images.size() == 102);
  CHECK(count_boxes(first) == 1000);
  CHECK(added.images.size() == 100);
  CHECK(count_boxes(added) == 1108);
  io::Split valid = *dataset.find("valid");
  CHECK(error_of([&] { io::keep_only(valid, folder / "splits/v1_train.txt"); }).find("102 of 102 lines") !=
        std::string::npos);
}

TEST_CASE("dataset assets: coco_val128") {
  const fs::path folder = assets("coco_val128");
  if (folder.empty()) return;
  const io::Dataset dataset = read_dataset(folder, {.find_duplicates = true});
  CHECK(dataset.format == "yolo");
  CHECK(dataset.classes.size() == 80);
  CHECK(dataset.classes[79] == "toothbrush");
  for (const char* split : {"train", "valid"}) {  // its data.yaml names one folder for both
    REQUIRE(dataset.find(split) != nullptr);
    CHECK(dataset.find(split)->images.size() == 128);
    CHECK(count_boxes(*dataset.find(split)) == 898);
  }
  CHECK(fault_text(dataset) == "duplicate_image 000000000139.jpg:0 warning");
  CHECK(io::take_census(dataset).shared_photos == 128);
}

TEST_CASE("dataset assets: chess through all formats") {
  const fs::path folder = assets("chess/test");
  if (folder.empty()) return;
  const io::Dataset dataset = read_dataset(folder);
  const TempFolder out;
  for (const char* format : {"coco", "yolo", "voc", "darknet"}) {
    io::write_dataset(dataset, out / format, format);
    const io::Dataset read = read_dataset(out / format);
    CHECK(fault_text(read) == "");
    CHECK(read.classes == dataset.classes);
    REQUIRE(read.find("test") != nullptr);
    std::map<std::string, std::vector<io::LabelBox>> boxes;
    for (const io::LabelledImage& image : read.find("test")->images) boxes[image.name] = image.boxes;
    for (const io::LabelledImage& image : dataset.find("test")->images) {
      const std::vector<io::LabelBox>& other = boxes.at(image.name);
      REQUIRE(other.size() == image.boxes.size());
      for (std::size_t b = 0; b < other.size(); ++b) {
        // All boxes are on whole pixels: no format loses a bit.
        CHECK(same_box(other[b], image.boxes[b].cls, image.boxes[b].x, image.boxes[b].y, image.boxes[b].w,
                       image.boxes[b].h, 0));
      }
    }
  }
}
