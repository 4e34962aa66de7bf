// Pascal VOC data sets as the kit and other programs lay them out.
#include "dataset_support.h"
#include "io/dataset_internal.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

TEST_CASE("dataset: VOC kit and XML beside photos; corners are counted from 1 and inclusive") {
  const TempFolder folder;
  const std::string text = voc_text(voc_object("dog", "1", "1", "20", "10") + voc_object("cat", "3", "2.5", "6", "4"));
  put_photo(folder / "kit/VOC2007/JPEGImages/a.bmp", 20, 10, 1);
  put_photo(folder / "kit/VOC2007/JPEGImages/b.bmp", 20, 10, 2);
  put(folder / "kit/VOC2007/Annotations/a.xml", text);
  put(folder / "kit/VOC2007/Annotations/b.xml", voc_text(""));
  put(folder / "kit/VOC2007/ImageSets/Main/train.txt", "a\n");
  put(folder / "kit/VOC2007/ImageSets/Main/val.txt", "b\n");
  put(folder / "kit/VOC2007/ImageSets/Main/dog_train.txt", "a 1\nb -1\n");
  for (const char* where : {"kit", "kit/VOC2007"}) {
    const io::Dataset dataset = read_dataset(folder / where);
    CHECK(dataset.format == "voc");
    CHECK(dataset.classes == std::vector<std::string>{"cat", "dog"});
    CHECK(fault_text(dataset) == "");
    const io::LabelledImage& image = dataset.find("train")->images.at(0);
    REQUIRE(image.boxes.size() == 2);
    CHECK(same_box(image.boxes[0], 1, .5, .5, 1, 1));
    CHECK(same_box(image.boxes[1], 0, 4. / 20, 2.75 / 10, 4. / 20, 2.5 / 10));
    CHECK(dataset.find("valid")->images.at(0).boxes.empty());
  }
  put_photo(folder / "flat/valid/a.bmp", 20, 10, 1);
  put(folder / "flat/valid/a.xml", text);
  CHECK(read_dataset(folder / "flat").find("valid")->images.size() == 1);
  CHECK(read_dataset(folder / "flat/valid").find("valid")->images.size() == 1);
  put(folder / "flat/classes.txt", "owl\ndog\ncat\n");
  CHECK(read_dataset(folder / "flat").find("valid")->images.at(0).boxes.at(0).cls == 1);
}

namespace {

// A photo and its XML in a kit at `root`, both below their folders as `name`.
void put_voc(const fs::path& root, const std::string& name, int shade, const std::string& photos = "JPEGImages",
             const std::string& annotations = "Annotations") {
  put_photo(root / photos / (name + ".bmp"), 20, 10, shade);
  put(root / annotations / (name + ".xml"), voc_text(voc_object("dog", "2", "2", "5", "5")));
}

// "train: a b, valid: c"
std::string photos_by_split(const io::Dataset& dataset) {
  std::string text;
  for (const io::Split& split : dataset.splits) {
    text += (text.empty() ? "" : ", ") + split.name + ":";
    for (const io::LabelledImage& image : split.images) text += " " + image.file.stem().string();
  }
  return text;
}

}  // namespace

TEST_CASE("dataset: lists of a VOC kit are known by any name of a split") {
  struct Case {
    std::vector<std::pair<const char*, const char*>> lists;
    const char *photos, *faults;
  };
  const std::vector<Case> cases = {
      // CVAT and Datumaro write the subset as its user named it, and a list per class beside it.
      {{{"Train", "a\nb\n"}, {"Validation", "c\n"}, {"Test", "d\n"}, {"dog_Train", "a  1\nb -1\n"}},
       "train: a b, valid: c, test: d",
       ""},
      {{{"default", "a\nb\nc\n"}, {"dog_default", "a  1\n"}}, "train: a b c", ""},
      {{{"default", "a\nb\n"}, {"Validation", "c\n"}}, "train: a b, valid: c", ""},
      {{{"my train", "a\nb\n"}, {"my_validation", "c\n"}, {"dog_test", "a 1\n"}}, "train: a b, valid: c", ""},
      {{{"trainval", "a\nb\nc\n"}, {"test", "d\n"}}, "train: a b c, test: d", ""},
      {{{"trainval", "a\nb\n"}, {"train", "a\n"}, {"val", "b\n"}}, "train: a, valid: b", ""},
      {{{"trainval", "a\nb\n"}, {"val", "b\n"}}, "valid: b", ""},
      {{{"dog_train", "a 1\n"}, {"dog_val", "b -1\n"}}, "train: a b c d", ""},
      {{{"holdout", "a\n"}}, "train: a b c d", "bad_line holdout.txt:0 warning"},
      {{{"train", "a\n"}, {"holdout", "b\n"}}, "train: a", "bad_line holdout.txt:0 warning"},
  };
  for (const Case& test : cases) {
    const TempFolder folder;
    for (const char* name : {"a", "b", "c", "d"}) put_voc(folder / "", name, name[0]);
    for (const auto& [name, text] : test.lists) {
      put(folder / "ImageSets/Main" / (std::string(name) + ".txt"), text);
    }
    const io::Dataset dataset = read_dataset(folder / "");
    INFO(test.lists.front().first);
    CHECK(photos_by_split(dataset) == test.photos);
    CHECK(fault_text(dataset) == test.faults);
  }
}

TEST_CASE("dataset: VOC kits with folders in them, with other names, and one per split") {
  const TempFolder folder;
  // CVAT: photos of a task in folders.
  put_voc(folder / "sub", "day0/f", 1);
  put_voc(folder / "sub", "day1/f", 2);
  CHECK(photos_by_split(read_dataset(folder / "sub")) == "train: f f");
  put(folder / "sub/ImageSets/Main/default.txt", "day0/f\n");
  put(folder / "sub/ImageSets/Main/Validation.txt", "day1/f\nday2/f\n");
  const io::Dataset sub = read_dataset(folder / "sub");
  CHECK(photos_by_split(sub) == "train: f, valid: f");
  CHECK(sub.find("valid")->images.at(0).file.parent_path().filename() == "day1");
  CHECK(fault_text(sub) == "missing_image Validation.txt:2 fatal");
  // A photo without XML is told in a folder too.
  put_photo(folder / "more/JPEGImages/x/b.bmp", 20, 10, 3);
  put_voc(folder / "more", "x/a", 4);
  CHECK(fault_text(read_dataset(folder / "more")) == "missing_label b.bmp:0 fatal");

  put_voc(folder / "hand", "a", 5, "images", "annotations");
  put_voc(folder / "fiftyone", "a", 6, "data", "labels");
  for (const char* name : {"hand", "fiftyone"}) {
    const io::Dataset dataset = read_dataset(folder / name);
    CHECK(dataset.format == "voc");
    CHECK(photos_by_split(dataset) == "train: a");
    CHECK(fault_text(dataset) == "");
  }
  // Labels of YOLO keep their format where somebody has left XML files too.
  put_voc(folder / "both", "a", 7, "images", "labels");
  put(folder / "both/labels/a.txt", "0 .5 .5 .2 .2\n");
  CHECK(read_dataset(folder / "both").format == "yolo");

  put_voc(folder / "parts/train", "a", 8);
  put_voc(folder / "parts/valid", "b", 9);
  CHECK(photos_by_split(read_dataset(folder / "parts")) == "train: a, valid: b");
}

TEST_CASE("dataset: a VOC box that begins at 0 shows that a set has edges counted from 0") {
  const TempFolder folder;
  const auto read = [&](const std::string& first, const std::string& second) {
    put_photo(folder / "a.bmp", 20, 10, 1);
    put_photo(folder / "b.bmp", 20, 10, 2);
    put(folder / "a.xml", voc_text(first));
    put(folder / "b.xml", voc_text(second));
    return read_dataset(folder / "");
  };
  // CVAT writes x and x + w with fractions; the box of another photo shows how to read both.
  const io::Dataset cvat =
      read(voc_object("dog", "4.0", "2.5", "20.0", "10.0"), voc_object("dog", "0.0", "0.0", "20.0", "10.0"));
  CHECK(fault_text(cvat) == "out_of_range b.xml:4 warning");
  CHECK(same_box(cvat.splits[0].images[0].boxes.at(0), 0, 12. / 20, 6.25 / 10, 16. / 20, 7.5 / 10));
  CHECK(same_box(cvat.splits[0].images[1].boxes.at(0), 0, .5, .5, 1, 1));
  const io::Dataset above = read(voc_object("dog", "4", "0.3", "8", "5"), "");
  CHECK(same_box(above.splits[0].images[0].boxes.at(0), 0, 6. / 20, 2.65 / 10, 4. / 20, 4.7 / 10));

  // Neither a fraction elsewhere, nor a box beyond the edge or without area shows that.
  const std::string whole = voc_object("dog", "1", "1", "20", "10");
  CHECK(fault_text(read(whole, voc_object("dog", "2.7", "1", "20", "10"))) == "");
  for (const char* xmin : {"0.6", "-3", "-0.1"}) {
    const io::Dataset dataset = read(whole, voc_object("dog", xmin, "2", "8", "5"));
    INFO(xmin);
    CHECK(same_box(dataset.splits[0].images[0].boxes.at(0), 0, .5, .5, 1, 1));
  }
  const io::Dataset empty = read(whole, voc_object("dog", "0", "0", "0", "0"));
  CHECK(fault_text(empty) == "out_of_range b.xml:4 fatal");
  CHECK(same_box(empty.splits[0].images[0].boxes.at(0), 0, .5, .5, 1, 1));
}
