// Every kind of fault, with the file and line it must name, and whether it leaves something out.
#include "dataset_support.h"
#include "io/image.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

namespace {

// A photo of 20x10 with these labels, beside a second one with good labels.
class YoloFixture {
 public:
  YoloFixture() {
    put_photo(folder_ / "images/a.bmp", 20, 10, 1);
    put_photo(folder_ / "images/good.bmp", 20, 10, 2);
    put(folder_ / "labels/good.txt", "1 .5 .5 .5 .5\n");
    put(folder_ / "classes.txt", "cat\ndog\n");
  }
  io::Dataset read(const std::string& labels, const io::DatasetOptions& options = {}) {
    put(folder_ / "labels/a.txt", labels);
    return read_dataset(folder_ / "", options);
  }
  const TempFolder& folder() const { return folder_; }

 private:
  TempFolder folder_;
};

std::size_t boxes_of_first(const io::Dataset& dataset) {
  return dataset.splits.at(0).images.at(0).boxes.size();
}

}  // namespace

TEST_CASE("dataset faults: lines of YOLO labels") {
  struct Case {
    const char *labels, *faults;
    std::size_t boxes;
  };
  const std::vector<Case> cases = {
      {"0 .5 .5 .2 .2\n", "", 1},
      {"\n\n0 .5 .5 .2\n", "bad_line a.txt:3 fatal", 0},
      {"0 .5 .5 .2 .2 .9\n0 .5 .5 .2 .2\n", "bad_line a.txt:1 fatal", 1},  // darknet would shift every later row
      {"\n0 .1 .1 .2 .1 .2 .2\n1 .1 .1 .2 .1 .2 .2 .1 .2\n", "polygon a.txt:2 warning", 2},
      {"0 .1 .1 .2 .1 .2 .2 .3\n", "bad_line a.txt:1 fatal", 0},
      {"0 .1 .1 .2 .1 .2 1.02\n", "bad_line a.txt:1 fatal", 0},
      {"0 .1 .1 .2 .1 .2 -.02\n", "bad_line a.txt:1 fatal", 0},
      {"0 .1 .1 .2 .1 nan .2\n", "bad_line a.txt:1 fatal", 0},
      {"0 .1 .1 .2 .1 .2 x\n", "bad_line a.txt:1 fatal", 0},
      {"0.0 .1 .1 .2 .1 .2 .2\n", "bad_line a.txt:1 fatal", 0},
      {"0 10 10 20 10 20 20\n", "bad_line a.txt:1 fatal", 0},
      {"0 .5 .5 .2 .2 .9 1\n", "bad_line a.txt:1 fatal", 0},   // a score and the first track
      {"0 .5 .5 .2 .2 .9 17\n", "bad_line a.txt:1 fatal", 0},  // and the seventeenth
      {"2 .1 .1 .2 .1 .2 .2\n", "polygon a.txt:1 warning, unknown_class a.txt:1 fatal", 0},
      {"0 .1 .1 .1 .2 .1 .3\n", "polygon a.txt:1 warning, empty_box a.txt:1 fatal", 0},
      {"0.0 .5 .5 .2 .2\n", "bad_line a.txt:1 fatal", 0},
      {"cat .5 .5 .2 .2\n", "bad_line a.txt:1 fatal", 0},
      {"0 .5 .5 .2 .2x\n", "bad_line a.txt:1 fatal", 0},
      {"0 .5 .5 .2 0,2\n", "bad_line a.txt:1 fatal", 0},
      {"0 .5 .5 .2 1e999\n", "bad_line a.txt:1 fatal", 0},
      {"99999999999 .5 .5 .2 .2\n", "bad_line a.txt:1 fatal", 0},
      {"2 .5 .5 .2 .2\n", "unknown_class a.txt:1 fatal", 0},
      {"-1 .5 .5 .2 .2\n", "unknown_class a.txt:1 fatal", 0},
      {"123456 .5 .5 .2 .2\n", "unknown_class a.txt:1 fatal", 0},
      {"0 nan .5 .2 .2\n", "out_of_range a.txt:1 fatal", 0},
      {"0 .5 .5 inf .2\n", "out_of_range a.txt:1 fatal", 0},
      {"0 320 240 100 50\n", "out_of_range a.txt:1 fatal", 0},
      {"0 -.2 .5 .2 .2\n", "out_of_range a.txt:1 fatal", 0},
      {"0 .5 .5 0 .2\n", "empty_box a.txt:1 fatal", 0},
      {"0 .5 .5 .2 -.1\n", "empty_box a.txt:1 fatal", 0},
      {"0 .5 .5 1e-60 .2\n", "empty_box a.txt:1 fatal", 0},
      {"0 .5 .5 .002 .2\n", "tiny_box a.txt:1 warning", 1},
      {"0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n0 .5 .5 .2 .2\n", "duplicate_box a.txt:3 warning", 3},
  };
  YoloFixture fixture;
  for (const Case& test : cases) {
    INFO(test.labels);
    const io::Dataset dataset = fixture.read(test.labels);
    CHECK(fault_text(dataset) == test.faults);
    CHECK(boxes_of_first(dataset) == test.boxes);
    for (const io::Fault& fault : dataset.faults) CHECK(fault.message.find('\n') == std::string::npos);
  }
}

TEST_CASE("dataset faults: boxes that reach outside are clipped, and told beyond half a pixel") {
  YoloFixture fixture;
  // The photo has 20x10 pixels: half a pixel is .025 of the width, .05 of the height.
  const io::Dataset inside = fixture.read("0 .1 .5 .24 .2\n0 .5 .95 .2 .18\n");
  CHECK(fault_text(inside) == "");
  CHECK(same_box(inside.splits[0].images[0].boxes[0], 0, .11, .5, .22, .2));
  CHECK(same_box(inside.splits[0].images[0].boxes[1], 0, .5, .93, .2, .14));
  const io::Dataset outside = fixture.read("0 .1 .5 .26 .2\n0 .5 .9 .2 .4\n1 .5 .5 3 3\n");
  CHECK(fault_text(outside) ==
        "out_of_range a.txt:1 warning, out_of_range a.txt:2 warning, out_of_range a.txt:3 warning");
  CHECK(same_box(outside.splits[0].images[0].boxes[0], 0, .115, .5, .23, .2));
  CHECK(same_box(outside.splits[0].images[0].boxes[1], 0, .5, .85, .2, .3));
  CHECK(same_box(outside.splits[0].images[0].boxes[2], 1, .5, .5, 1, 1));
  // What six decimals lose is left as it stands.
  const io::Dataset exact = fixture.read("0 .5 .5 1.000001 1\n");
  CHECK(exact.splits[0].images[0].boxes[0].w == 1.000001f);
}

TEST_CASE("dataset faults: too many boxes are kept") {
  YoloFixture fixture;
  const io::Dataset dataset = fixture.read("0 .1 .5 .2 .2\n0 .2 .5 .2 .2\n0 .3 .5 .2 .2\n", {.max_boxes = 2});
  CHECK(fault_text(dataset) == "too_many_boxes a.txt:0 warning");
  CHECK(boxes_of_first(dataset) == 3);
  CHECK(fault_text(fixture.read("0 .1 .5 .2 .2\n0 .2 .5 .2 .2\n", {.max_boxes = 2})) == "");
}

TEST_CASE("dataset faults: tiny is below one pixel of the network") {
  YoloFixture fixture;
  CHECK(fault_text(fixture.read("0 .5 .5 .009 .2\n", {.net_size = 112})) == "");
  CHECK(fault_text(fixture.read("0 .5 .5 .2 .009\n", {.net_size = 111})) == "tiny_box a.txt:1 warning");
}

TEST_CASE("dataset faults: labels and photos that are missing or broken") {
  YoloFixture fixture;
  const TempFolder& folder = fixture.folder();
  CHECK(fault_text(read_dataset(folder / "")) == "missing_label a.bmp:0 fatal");
  CHECK(read_dataset(folder / "").splits[0].images.size() == 1);
  const io::Dataset negative = read_dataset(folder / "", {.missing_label_is_negative = true});
  CHECK(fault_text(negative) == "");
  CHECK(negative.splits[0].images.size() == 2);

  put(folder / "labels/orphan.txt", "");
  CHECK(fault_text(fixture.read("")) == "missing_image orphan.txt:0 fatal");
  fs::remove(folder / "labels/orphan.txt");

  put(folder / "images/a.bmp", "BM not a picture");
  const io::Dataset broken = fixture.read("0 .5 .5 .2 .2\n");
  CHECK(fault_text(broken) == "unreadable_image a.bmp:0 fatal");
  CHECK(broken.splits[0].images.size() == 1);
  CHECK(fault_text(fixture.read("", {.read_sizes = false})) == "");

  fs::remove(folder / "labels/a.txt");
  fs::create_directory(folder / "labels/a.txt");  // not a file
  CHECK(fault_text(read_dataset(folder / "")) == "missing_label a.bmp:0 fatal");
}

TEST_CASE("dataset faults: photos that are cut off are left out, one without its end marker is told") {
  YoloFixture fixture;
  const fs::path photo = fixture.folder() / "images/a.bmp";  // the ending of the name says nothing
  io::Image picture{.width = 64, .height = 48};
  for (int i = 0; i < 64 * 48 * 3; ++i) picture.pixels.push_back(static_cast<std::uint8_t>(i * i / 50));
  const ByteVector jpeg = io::encode_jpeg(picture), png = io::encode_png(picture);
  for (const ByteVector& whole : {jpeg, png}) {
    save(photo, whole);
    CHECK(fault_text(fixture.read("0 .5 .5 .2 .2\n")) == "");
    save(photo, std::span(whole).first(whole.size() * 2 / 3));
    const io::Dataset dataset = fixture.read("0 .5 .5 .2 .2\n");
    CHECK(fault_text(dataset) == "unreadable_image a.bmp:0 fatal");
    CHECK(dataset.faults[0].message.find("truncated") != std::string::npos);
    CHECK(dataset.splits[0].images.size() == 1);
  }
  save(photo, std::span(jpeg).first(jpeg.size() - 2));
  const io::Dataset no_end = fixture.read("0 .5 .5 .2 .2\n");
  CHECK(fault_text(no_end) == "unreadable_image a.bmp:0 warning");
  CHECK(no_end.splits[0].images.size() == 2);

  // Damage within the pixel data takes decoding: a run of ones is no code.
  ByteVector damaged = jpeg;
  for (std::size_t i = jpeg.size() / 2; i < jpeg.size() - 2; ++i) damaged[i] = i % 2 == 0 ? 0xFF : 0x00;
  save(photo, damaged);
  CHECK(fault_text(fixture.read("0 .5 .5 .2 .2\n")) == "");
  CHECK(fault_text(fixture.read("0 .5 .5 .2 .2\n", {.decode = true})) == "unreadable_image a.bmp:0 fatal");
}

TEST_CASE("dataset faults: lists of photos") {
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  put(folder / "a.txt", "0 .5 .5 .2 .2 .2\n");
  put(folder / "list.txt", "a.bmp\n\nmissing.bmp\na.bmp\n");
  put(folder / "other.txt", "a.bmp\n");
  put(folder / "x.data",
      "classes = 1\ntrain = list.txt\nvalid = other.txt\ntest = nolist.txt\nvaild = x\nnames = x.names\n");
  put(folder / "x.names", "cat\n");
  const io::Dataset dataset = read_dataset(folder / "x.data");
  // The line of a.txt is told once although both splits have the photo.
  CHECK(fault_text(dataset) ==
        "bad_line x.data:5 warning, missing_image x.data:4 warning, missing_image list.txt:3 fatal, "
        "duplicate_image a.bmp:0 fatal, duplicate_image a.bmp:0 warning, bad_line a.txt:1 fatal");
  CHECK(dataset.faults[0].message.find("did you mean 'valid'?") != std::string::npos);
  CHECK(dataset.find("train")->images.size() == 1);
  CHECK(dataset.find("valid")->images.size() == 1);
  CHECK(dataset.faults[4].message.find("1 of 1 photos of valid are in train too") != std::string::npos);
}

TEST_CASE("dataset faults: data.yaml that names what is not there, and one folder twice") {
  const TempFolder folder;
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "labels/a.txt", "7 .5 .5 .2 .2\n");
  put(folder / "labels/b.txt", "");
  put(folder / "data.yaml", "train: images\nval: images\ntest: none\nnames: [x]\nroboflow: {}\nvla:\n");
  CHECK(fault_text(read_dataset(folder / "")) ==
        "bad_line data.yaml:6 warning, missing_image data.yaml:3 warning, missing_image b.txt:0 fatal, duplicate_image "
        "a.bmp:0 warning, "
        "unknown_class a.txt:1 fatal");
}

TEST_CASE("dataset faults: COCO annotations name their line") {
  struct Case {
    const char *annotations, *faults;
  };
  const std::vector<Case> cases = {
      {R"({"image_id": 9, "category_id": 1, "bbox": [1, 1, 2, 2]})", ""},
      {"{\"image_id\": 9, \"category_id\": 1,\n \"bbox\": [1, 1, 2, 2]},\n{\"image_id\": 9, \"category_id\": 1,\n "
       "\"bbox\": [1, "
       "1, 2]}",
       "bad_line _annotations.coco.json:9 fatal"},
      {R"({"image_id": 9, "category_id": 1, "bbox": [1, 1, 2, null]})", "bad_line _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 1})", "bad_line _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 1.5, "bbox": [1, 1, 2, 2]})", "bad_line _annotations.coco.json:7 fatal"},
      {"3,\n[],\n{}",
       "bad_line _annotations.coco.json:7 fatal, bad_line _annotations.coco.json:8 fatal, bad_line "
       "_annotations.coco.json:9 fatal"},
      {R"({"image_id": 8, "category_id": 1, "bbox": [1, 1, 2, 2]})", "missing_image _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 2, "bbox": [1, 1, 2, 2]})", "unknown_class _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 1, "bbox": [1, 1, 0, 2]})", "empty_box _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 1, "bbox": [20, 1, 3, 2]})", "out_of_range _annotations.coco.json:7 fatal"},
      {R"({"image_id": 9, "category_id": 1, "bbox": [18, 1, 3, 2]})", "out_of_range _annotations.coco.json:7 warning"},
      {R"({"image_id": 9, "category_id": 1, "bbox": [18, 1, 2.5, 2]})", ""},
      {R"({"image_id": 9, "category_id": 1, "bbox": [1, 1, 0.04, 2]})", "tiny_box _annotations.coco.json:7 warning"},
      {"{\"image_id\": 9, \"category_id\": 1, \"bbox\": [1, 1, 2, 2]},\n\n{\"image_id\": 9, \"category_id\": 1, "
       "\"bbox\": [1, 1, "
       "2, 2]}",
       "duplicate_box _annotations.coco.json:9 warning"},
      {"{\"image_id\": 9, \"category_id\": 1, \"bbox\": [1, 1, 2, 2], \"iscrowd\": 1},\n{\"image_id\": 9, "
       "\"category_id\": 1, "
       "\"bbox\": [1, 1, 2, 2], \"iscrowd\": 1}",
       "ignored_region _annotations.coco.json:7 warning"},
  };
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  for (const Case& test : cases) {
    INFO(test.annotations);
    put(folder / "_annotations.coco.json", coco_text(test.annotations));
    CHECK(fault_text(read_dataset(folder / "")) == test.faults);
  }
}

TEST_CASE("dataset faults: crowds and difficult objects are regions that evaluation leaves out") {
  const TempFolder folder;
  put_photo(folder / "c/a.bmp", 20, 10, 1);
  // A crowd that reaches outside, one of another class, one without area, one of no image, one of no category.
  put(folder / "c/_annotations.coco.json", coco_text(R"({"image_id": 9, "category_id": 1, "bbox": [1, 1, 2, 2]},
{"image_id": 9, "category_id": 1, "bbox": [15, 0, 10, 5], "iscrowd": 1},
{"image_id": 9, "category_id": 5, "bbox": [0, 0, 20, 10], "iscrowd": 1},
{"image_id": 9, "category_id": 1, "bbox": [2, 2, 0, 5], "iscrowd": 1},
{"image_id": 8, "category_id": 1, "bbox": [2, 2, 2, 5], "iscrowd": 1},
{"image_id": 9, "category_id": 7, "bbox": [2, 2, 2, 5], "iscrowd": 1})"));
  const io::Dataset coco = read_dataset(folder / "c");
  CHECK(fault_text(coco) == "ignored_region _annotations.coco.json:8 warning");
  CHECK(coco.faults[0].message.starts_with("5 crowds"));
  const io::LabelledImage& image = coco.splits.at(0).images.at(0);
  CHECK(image.boxes.size() == 1);
  const auto same = [](const io::IgnoredRegion& region, int cls, double x, double y, double w, double h, bool crowd) {
    return same_box({region.x, region.y, region.w, region.h, region.cls}, cls, x, y, w, h) && region.crowd == crowd;
  };
  REQUIRE(image.ignored.size() == 2);
  CHECK(same(image.ignored[0], 0, 17.5 / 20, 2.5 / 10, 5. / 20, 5. / 10, true));
  CHECK(same(image.ignored[1], 1, .5, .5, 1, 1, true));
  // Joined with its class, gone with it.
  const io::Dataset merged = read_dataset(folder / "c", {.merge = {{"dog", "cat"}}});
  CHECK(merged.splits[0].images[0].ignored.at(1).cls == 0);
  const io::Dataset used = read_dataset(folder / "c", {.drop_unused_classes = true});
  CHECK(used.classes == std::vector<std::string>{"cat"});
  CHECK(used.splits[0].images[0].ignored.size() == 1);

  put_photo(folder / "v/a.bmp", 20, 10, 1);
  const std::string difficult = "<difficult>1</difficult>";
  put(folder / "v/a.xml",
      voc_text(voc_object("dog", "2", "2", "5", "5") + voc_object("dog", "11", "1", "20", "5", difficult) +
               voc_object("dog", "nan", "1", "20", "5", difficult) +
               voc_object("owl", "1", "1", "20", "5", difficult)));
  const io::Dataset voc = read_dataset(folder / "v");
  CHECK(voc.faults.at(0).message.starts_with("3 objects marked difficult"));
  CHECK(voc.classes == std::vector<std::string>{"dog"});
  REQUIRE(voc.splits.at(0).images.at(0).ignored.size() == 1);
  CHECK(same(voc.splits[0].images[0].ignored[0], 0, .75, .25, .5, .5, false));
  CHECK(read_dataset(folder / "v", {.keep_difficult = true}).splits.at(0).images.at(0).ignored.empty());
}

TEST_CASE("dataset faults: COCO images") {
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  put_photo(folder / "unlisted.bmp", 20, 10, 2);
  put(folder / "_annotations.coco.json",
      coco_text("", R"({"id": 1, "file_name": "a.bmp"}, {"id": 2, "file_name": "none.bmp"},
{"id": 1, "file_name": "unlisted.bmp"}, {"id": 4}, {"id": 5, "file_name": "a.bmp\u0000"})"));
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(
      fault_text(dataset) ==
      "bad_line _annotations.coco.json:7 fatal, bad_line _annotations.coco.json:7 fatal, missing_label unlisted.bmp:0 "
      "fatal, missing_image _annotations.coco.json:6 fatal, missing_image _annotations.coco.json:7 fatal");
  CHECK(dataset.splits.at(0).images.size() == 1);
  CHECK(read_dataset(folder / "", {.missing_label_is_negative = true}).splits.at(0).images.size() == 2);
}

TEST_CASE("dataset faults: a photo of another size than its labels say") {
  const TempFolder folder;
  const auto read = [&](const std::string& size) {
    put(folder / "_annotations.coco.json", coco_text(R"({"image_id": 9, "category_id": 1, "bbox": [10, 10, 20, 10]})",
                                                     R"({"id": 9, "file_name": "a.bmp", )" + size + "}"));
    return read_dataset(folder / "");
  };
  put_photo(folder / "a.bmp", 20, 10, 1);
  put_photo(folder / "b.bmp", 20, 10, 1);
  const io::Dataset scaled = read(R"("width": 40, "height": 20)");
  CHECK(fault_text(scaled) == "missing_label b.bmp:0 fatal, size_mismatch _annotations.coco.json:6 warning");
  CHECK(same_box(scaled.splits[0].images[0].boxes.at(0), 0, .5, .75, .5, .5));
  CHECK(scaled.splits[0].images[0].width == 20);
  CHECK(error_of([&] { read(R"("width": 40, "height": 40)"); }).find("no usable photo") != std::string::npos);

  put(folder / "v/a.xml", voc_text(voc_object("x", "1", "1", "10", "5"), "<width>0</width><height>0</height>"));
  put_photo(folder / "v/a.bmp", 20, 10, 1);
  put(folder / "v/b.xml", voc_text(voc_object("x", "1", "1", "10", "5"), "<width>30</width><height>10</height>"));
  put_photo(folder / "v/b.bmp", 20, 10, 2);
  const io::Dataset voc = read_dataset(folder / "v");
  CHECK(fault_text(voc) == "size_mismatch b.xml:3 fatal");  // 0x0 says nothing
  CHECK(voc.splits.at(0).images.size() == 1);
  CHECK(same_box(voc.splits[0].images[0].boxes.at(0), 0, .25, .25, .5, .5));
}

TEST_CASE("dataset faults: photos on their side") {
  // 16x8 stored pixels, a box over the stored left half, upper quarter: x 0..8, y 0..2.
  struct Case {
    int orientation;
    double x, y;  // centre on the upright photo, from the definition of each orientation
  };
  const TempFolder folder;
  const std::string box = voc_object("x", "1", "1", "8", "2");
  // Orientation 6 turns the stored photo clockwise: its left edge becomes the top, its top the right edge, and so on.
  for (const Case& test : {Case{5, .125, .25}, Case{6, .875, .25}, Case{7, .875, .75}, Case{8, .125, .75}}) {
    put_turned_photo(folder / "a.jpg", test.orientation);
    put(folder / "a.xml", voc_text(box, "<width>16</width><height>8</height>"));
    const io::Dataset stored = read_dataset(folder / "");
    CHECK(fault_text(stored) == "exif_rotated a.jpg:0 warning");
    const io::LabelledImage& image = stored.splits.at(0).images.at(0);
    CHECK(image.width == 8);
    CHECK(image.height == 16);
    CHECK(same_box(image.boxes.at(0), 0, test.x, test.y, .25, .5));

    put(folder / "a.xml", voc_text(box, "<width>8</width><height>16</height>"));
    const io::Dataset upright = read_dataset(folder / "");
    CHECK(fault_text(upright) == "exif_rotated a.jpg:0 warning");
    CHECK(same_box(upright.splits.at(0).images.at(0).boxes.at(0), 0, .5, 1. / 16, 1, 2. / 16));
  }
  put_turned_photo(folder / "a.jpg", 3);
  put(folder / "a.xml", voc_text(box, "<width>16</width><height>8</height>"));
  CHECK(fault_text(read_dataset(folder / "")) == "exif_rotated a.jpg:0 warning");
  put_turned_photo(folder / "a.jpg", 1);
  CHECK(fault_text(read_dataset(folder / "")) == "");
}

TEST_CASE("dataset faults: VOC files name their line") {
  struct Case {
    std::string text;
    const char* faults;
  };
  const std::string good = voc_object("dog", "2", "2", "5", "5");
  const std::vector<Case> cases = {
      {voc_text(good), ""},
      {voc_text(good + "<object>"), "bad_line a.xml:5 fatal"},
      {voc_text(good) + voc_text(good), "bad_line a.xml:1 fatal"},
      {"<html/>", "bad_line a.xml:1 fatal"},
      {"", "bad_line a.xml:1 fatal"},
      {voc_text(good + voc_object("", "2", "2", "5", "5")), "bad_line a.xml:5 fatal"},
      {voc_text(good + voc_object("dog", "2", "two", "5", "5")), "bad_line a.xml:5 fatal"},
      {voc_text(good + "\n<object><name>dog</name></object>"), "bad_line a.xml:6 fatal"},
      {voc_text(good + voc_object("dog", "2", "2", "5", "5</xmax><xmax>6")), "bad_line a.xml:5 fatal"},
      {voc_text(good + voc_object("owl", "2", "2", "5", "5")), "unknown_class a.xml:5 fatal"},
      {voc_text(good + voc_object("dog", "5", "2", "4", "5")), "empty_box a.xml:5 fatal"},
      {voc_text(good + voc_object("dog", "nan", "2", "4", "5")), "out_of_range a.xml:5 fatal"},
      {voc_text(good + voc_object("dog", "0", "2", "4", "5")), "out_of_range a.xml:5 warning"},
      {voc_text(good + good), "duplicate_box a.xml:5 warning"},
      {voc_text(good + voc_object("dog", "3", "2", "4", "5", "<difficult>1</difficult>")),
       "ignored_region a.xml:5 warning"},
  };
  const TempFolder folder;
  put_photo(folder / "a.bmp", 20, 10, 1);
  put_photo(folder / "z.bmp", 20, 10, 2);
  put(folder / "z.xml", voc_text(good));
  put(folder / "classes.txt", "dog\n");
  for (const Case& test : cases) {
    INFO(test.text);
    put(folder / "a.xml", test.text);
    CHECK(fault_text(read_dataset(folder / "")) == test.faults);
  }
  const io::Dataset difficult = read_dataset(folder / "", {.keep_difficult = true});
  CHECK(fault_text(difficult) == "");
  CHECK(difficult.splits[0].images[0].boxes.size() == 2);

  put(folder / "a.xml", voc_text(good));
  put_photo(folder / "nolabels.bmp", 20, 10, 3);
  put(folder / "nophoto.xml", voc_text(good));
  CHECK(fault_text(read_dataset(folder / "")) ==
        "missing_label nolabels.bmp:0 fatal, missing_image nophoto.xml:0 fatal");
}

TEST_CASE("dataset faults: lists of a VOC kit") {
  const TempFolder folder;
  for (const char* name : {"a", "b"}) put_photo(folder / "JPEGImages" / (std::string(name) + ".bmp"), 20, 10, name[0]);
  put(folder / "Annotations/a.xml", voc_text(voc_object("dog", "2", "2", "5", "5")));
  put(folder / "ImageSets/Main/trainval.txt", "a\nb\nc\n");
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "missing_label b.bmp:0 fatal, missing_image trainval.txt:3 fatal");
  CHECK(dataset.find("train")->images.size() == 1);
  CHECK(read_dataset(folder / "", {.missing_label_is_negative = true}).find("train")->images.size() == 2);
}

TEST_CASE("dataset faults: photos of equal bytes, only when asked for") {
  const TempFolder folder;
  put(folder / "classes.txt", "cat\n");
  for (const char* split : {"train", "valid"}) {
    for (const char* name : {"a", "b", "c"}) {
      const fs::path part = folder / split;
      // b and c of train, and a of both, are equal; all have equal sizes.
      const int shade = name[0] == 'a' ? 1 : name[0] == 'b' ? 2 : split[0] == 't' ? 2 : 3 * 256;
      put_photo(part / "images" / (std::string(split) + name + ".bmp"), 20, 10,
                shade + (split[0] == 'v' && name[0] == 'b'));
      put(part / "labels" / (std::string(split) + name + ".txt"), "0 .5 .5 .2 .2\n");
    }
  }
  CHECK(fault_text(read_dataset(folder / "")) == "");
  const io::Dataset dataset = read_dataset(folder / "", {.find_duplicates = true});
  CHECK(fault_text(dataset) == "duplicate_image trainc.bmp:0 warning, duplicate_image valida.bmp:0 warning");
  CHECK(dataset.faults.at(1).message.find("train/images/traina.bmp") != std::string::npos);
  CHECK(dataset.faults.at(1).message.find("one in valid, one in train") != std::string::npos);
}

TEST_CASE("dataset faults: every kind has its name") {
  std::vector<std::string> names;
  for (int kind = 0; kind <= static_cast<int>(io::Fault::Kind::duplicate_image); ++kind) {
    names.push_back(name_of(static_cast<io::Fault::Kind>(kind)));
    CHECK(names.back() != "unknown");
  }
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}
