// Datasets written in each format and read again; the census.
#include "io/dataset_write.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <random>

#include "dataset_support.h"
#include "io/census.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

namespace {

struct Drawn {
  io::Dataset dataset;
  bool whole_pixels;
};

// Photos of odd sizes with boxes inside them, on whole pixels or anywhere.
Drawn draw_dataset(std::mt19937& random, const fs::path& folder) {
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  Drawn drawn;
  drawn.whole_pixels = draw(0, 1) == 1;
  drawn.dataset.classes = {"zebra", "Ünïcode & <b>'quoted\"", "two words", "42", "unused: no", "yes"};
  for (const char* name : {"train", "valid", "test"}) {
    io::Split split{.name = name, .images = {}};
    for (int i = 0, count = draw(1, 4); i < count; ++i) {
      io::LabelledImage image;
      image.width = draw(1, 40) * 2 + 1;
      image.height = draw(1, 40) * 2 + 1;
      // Some photos have equal names in different folders.
      image.file =
          put_photo(folder / name / std::to_string(i % 3) / (i < 2 ? "a b.bmp" : "c.rf." + std::to_string(i) + ".bmp"),
                    image.width, image.height, draw(0, 65535));
      image.name = image.file.filename().string();
      const double w = image.width, h = image.height, unit = drawn.whole_pixels ? 1 : 1 / 7.0;
      for (int b = 0, boxes = draw(0, 5); b < boxes; ++b) {
        const int left = draw(0, static_cast<int>(w / unit) - 1), top = draw(0, static_cast<int>(h / unit) - 1);
        const double width = draw(1, static_cast<int>(w / unit) - left) * unit;
        const double height = draw(1, static_cast<int>(h / unit) - top) * unit;
        image.boxes.push_back({.x = static_cast<float>((left * unit + width / 2) / w),
                               .y = static_cast<float>((top * unit + height / 2) / h),
                               .w = static_cast<float>(width / w),
                               .h = static_cast<float>(height / h),
                               .cls = draw(0, 3)});
      }
      split.images.push_back(image);
    }
    drawn.dataset.splits.push_back(split);
  }
  return drawn;
}

// Compares by the bytes of photos, as names may have changed. `pixels`: allowed error of a side in pixels; 0: to the
// bit.
void check_equal(const io::Dataset& got, const io::Dataset& want, double pixels) {
  CHECK(got.classes == want.classes);
  REQUIRE(got.splits.size() == want.splits.size());
  for (std::size_t s = 0; s < want.splits.size(); ++s) {
    CHECK(got.splits[s].name == want.splits[s].name);
    REQUIRE(got.splits[s].images.size() == want.splits[s].images.size());
    for (const io::LabelledImage& image : want.splits[s].images) {
      const ByteVector bytes = load(image.file);
      int matches = 0;
      for (const io::LabelledImage& other : got.splits[s].images) {
        if (other.boxes.size() != image.boxes.size() || load(other.file) != bytes) continue;
        bool equal = other.width == image.width && other.height == image.height;
        for (std::size_t b = 0; b < image.boxes.size(); ++b) {
          const io::LabelBox &x = image.boxes[b], &y = other.boxes[b];
          const double tx = pixels / image.width, ty = pixels / image.height;
          equal = equal && x.cls == y.cls && near(x.x, y.x, tx) && near(x.y, y.y, ty) && near(x.w, y.w, tx) &&
                  near(x.h, y.h, ty);
        }
        matches += equal;
      }
      CHECK(matches >= 1);
    }
  }
}

}  // namespace

TEST_CASE("dataset: written in a format and read again it is the same") {
  std::mt19937 random(20241);
  for (int round = 0; round < 6; ++round) {
    const TempFolder folder;
    const Drawn drawn = draw_dataset(random, folder / "photos");
    for (const char* format : {"coco", "yolo", "voc", "darknet"}) {
      INFO("round " << round << " " << format);
      io::write_dataset(drawn.dataset, folder / format, format);
      const io::Dataset read = read_dataset(folder / format, {.max_boxes = 5});
      CHECK(read.format == format);
      for (const io::Fault& fault : read.faults) CHECK(fault.kind == io::Fault::Kind::duplicate_box);
      const bool exact = format[0] == 'y' || format[0] == 'd';
      check_equal(read, drawn.dataset, exact ? 0 : drawn.whole_pixels ? 1e-5 : 2e-3);
      // And once more through another format: nothing adds up.
      io::write_dataset(read, folder / (std::string("again-") + format), exact ? "coco" : "yolo");
      check_equal(read_dataset(folder / (std::string("again-") + format)), drawn.dataset, 3e-3);
    }
  }
}

TEST_CASE(
    "dataset: ignored regions are written as crowds and as difficult objects, and counted where there are neither") {
  const TempFolder folder;
  put_photo(folder / "a.bmp", 21, 11, 1);
  io::Dataset dataset{.classes = {"cat", "dog"}, .splits = {{.name = "train"}}};
  dataset.splits[0].images.push_back(
      {.file = folder / "a.bmp",
       .name = "a.bmp",
       .width = 21,
       .height = 11,
       .boxes = {{0.5f, 0.5f, 3 / 21.0f, 3 / 11.0f, 0}},
       .ignored = {{10 / 21.0f, 0.5f, 6 / 21.0f, 5 / 11.0f, 1, true}, {18 / 21.0f, 0.5f, 4 / 21.0f, 1, 1, false}}});
  for (const std::string format : {"coco", "voc", "yolo", "darknet", "coco+yolo"}) {
    INFO(format);
    io::write_dataset(dataset, folder / format, format);
    const io::Dataset read = read_dataset(folder / format);
    const io::LabelledImage& image = read.splits.at(0).images.at(0);
    CHECK(image.boxes.size() == 1);
    const bool kept = format != "yolo" && format != "darknet";
    CHECK(io::regions_without_place(dataset, format) == (kept ? 0 : 2));
    REQUIRE(image.ignored.size() == (kept ? 2 : 0));
    for (std::size_t i = 0; i < image.ignored.size(); ++i) {
      const io::IgnoredRegion &got = image.ignored[i], &want = dataset.splits[0].images[0].ignored[i];
      CHECK(got.cls == want.cls);
      CHECK(got.crowd == (format != "voc"));
      for (const auto& [x, y] : {std::pair(got.x, want.x), {got.y, want.y}, {got.w, want.w}, {got.h, want.h}})
        CHECK(std::abs(x - y) < 1e-5);
    }
  }
}

TEST_CASE("dataset: both sets of labels beside the photos are read alike") {
  const TempFolder folder;
  std::mt19937 random(11);
  const Drawn drawn = draw_dataset(random, folder / "photos");
  io::write_dataset(drawn.dataset, folder / "both", "coco+yolo");
  const io::Dataset coco = read_dataset(folder / "both"), yolo = read_dataset(folder / "both" / "data.yaml");
  CHECK(coco.format == "coco");
  CHECK(yolo.format == "yolo");
  check_equal(coco, drawn.dataset, 2e-3);
  check_equal(yolo, drawn.dataset, 0);
}

TEST_CASE("dataset: what writing refuses") {
  const TempFolder folder;
  std::mt19937 random(7);
  io::Dataset dataset = draw_dataset(random, folder / "photos").dataset;
  const auto error = [&](const fs::path& where, const char* format) {
    return error_of([&] { io::write_dataset(dataset, where, format); });
  };
  CHECK(error(folder / "x", "csv").find("choose coco, yolo, voc, darknet or coco+yolo") != std::string::npos);
  CHECK(error(folder / "photos", "yolo").find("not empty") != std::string::npos);
  const fs::path file = put(folder / "file", "x");
  CHECK(error(file, "yolo").find("not empty") != std::string::npos);
  CHECK(load(file).size() == 1);
  dataset.classes[1] = "two\nlines";
  CHECK(error(folder / "x", "darknet").find("two\nlines") != std::string::npos);
  dataset.classes[1] = "\xFF";
  CHECK(error(folder / "x1", "coco").find("not UTF-8") != std::string::npos);
  dataset.classes[1] = "fine";
  dataset.splits[0].images[0].boxes = {{.5, .5, .5, .5, 0}};
  dataset.splits[0].images[0].width = 0;
  CHECK(error(folder / "x2", "voc").find("size is not known") != std::string::npos);
  CHECK(error(folder / "x3", "yolo") == "");
  dataset.splits[0].images[0].file = folder / "gone.bmp";
  CHECK(error(folder / "x4", "yolo").find("gone.bmp: cannot be copied") != std::string::npos);
  dataset.splits[0].name = "mine";
  CHECK(error(folder / "x5", "yolo").find("split 'mine'") != std::string::npos);
}

TEST_CASE("dataset: of what could not be written to its end nothing is left") {
  const TempFolder folder;
  std::mt19937 random(8);
  io::Dataset dataset = draw_dataset(random, folder / "photos").dataset;
  std::atomic<bool> stop{true};
  const auto error = [&](const fs::path& where, const char* format, const std::atomic<bool>* stopped) {
    return error_of([&] { io::write_dataset(dataset, where, format, io::PlacePhotos::link, stopped); });
  };
  fs::create_directory(folder / "empty");
  for (const char* format : {"coco", "yolo", "voc", "darknet", "coco+yolo"}) {
    CAPTURE(format);
    CHECK(error(folder / "new", format, &stop) == "interrupted: nothing was written");
    CHECK(!fs::exists(folder / "new"));
  }
  dataset.splits[2].images[0].file = folder / "gone.bmp";  // two splits are written by then
  for (const char* format : {"coco", "yolo", "voc", "darknet", "coco+yolo"}) {
    CAPTURE(format);
    CHECK(error(folder / "new", format, nullptr).find("gone.bmp: cannot be copied") != std::string::npos);
    CHECK(!fs::exists(folder / "new"));
    CHECK(error(folder / "empty", format, nullptr).find("gone.bmp") != std::string::npos);
    CHECK(fs::is_empty(folder / "empty"));
  }
  dataset.splits.pop_back();
  stop = false;
  CHECK(error(folder / "new", "yolo", &stop) == "");
  CHECK(fs::exists(folder / "new/data.yaml"));
}

TEST_CASE("census: counts of a small dataset") {
  const TempFolder folder;
  put_photo(folder / "train/images/a.bmp", 200, 100, 1);
  put(folder / "train/labels/a.txt", "0 .5 .5 .15 .3\n0 .5 .5 .5 .5\n1 .5 .5 .5 .95\nbad\n");
  put_photo(folder / "train/images/b.bmp", 200, 100, 2);
  put(folder / "train/labels/b.txt", "");
  put_photo(folder / "valid/images/c.bmp", 10, 10, 3);
  put(folder / "valid/labels/c.txt", "1 .5 .5 .1 .1\n1 .5 .5 .1 .1\n");
  put(folder / "classes.txt", "cat\ndog\nowl\n");
  const io::Census census = io::take_census(read_dataset(folder / ""));
  CHECK(census.images() == 3);
  CHECK(census.boxes() == 5);
  REQUIRE(census.splits.size() == 2);
  const io::SplitCensus& train = census.splits[0];
  CHECK(train.negatives == 1);
  CHECK(train.boxes_of_class == std::vector<std::int64_t>{2, 1, 0});
  CHECK(train.images_of_class == std::vector<std::int64_t>{1, 1, 0});
  // 30x30, 100x50, 100x95 pixels: COCO's limits are areas of 1024 and 9216.
  CHECK(train.small == 1);
  CHECK(train.medium == 1);
  CHECK(train.large == 1);
  CHECK(train.most_boxes == 3);
  CHECK(census.splits[1].boxes_of_class == std::vector<std::int64_t>{0, 2, 0});
  REQUIRE(census.sizes.size() == 2);
  CHECK(census.sizes[0].width == 200);
  CHECK(census.sizes[0].images == 2);
  CHECK(census.faults.at(io::Fault::Kind::bad_line).fatal == 1);
  CHECK(census.faults.at(io::Fault::Kind::duplicate_box).warnings == 1);
  CHECK(census.box_width == std::array<float, 3>{.1f, .15f, .5f});
  CHECK(census.shared_photos == 0);

  const std::string text = io::to_text(census);
  CHECK(
      text.find(
          "  boxes of class  train  valid  all\n  cat                 2      0    2\n  dog                 1      2    "
          "3\n  owl                 0      0    0\n") != std::string::npos);
  CHECK(text.find("a.txt:4: 1 fields") != std::string::npos);
  CHECK(text.ends_with('\n'));

  const nlohmann::json json = io::to_json(census);
  CHECK(json.at("boxes") == 5);
  CHECK(json.at("splits").at("train").at("per_class").at("cat").at("boxes") == 2);
  CHECK(json.at("faults").at("bad_line").at("left_out") == 1);
  CHECK(json.at("image_sizes").at(0).at("width") == 200);
}

TEST_CASE("census: names that are no UTF-8 do not break the JSON; without sizes boxes are unsized") {
  const TempFolder folder;
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "labels/a.txt", "0 .5 .5 .2 .2\n");
  put(folder / "classes.txt", "caf\xE9\n");
  const io::Census census = io::take_census(read_dataset(folder / "", {.read_sizes = false}));
  CHECK(census.splits.at(0).unsized == 1);
  CHECK(census.sizes.empty());
  CHECK(io::to_json(census).dump().find("caf") != std::string::npos);
  CHECK(io::to_text(census).find("no faults") != std::string::npos);
}
