// What lies where: layouts of each format, the boxes in them, classes, lists of photos.
#include "dataset_support.h"
#include "io/dataset_internal.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

TEST_CASE("dataset: names of splits") {
  for (const char* name : {"val", "valid", "Validation", "val2017", "instances_val2017", "my-val"}) {
    CHECK(io::detail::split_name(name) == "valid");
  }
  for (const char* name : {"train", "TRAIN", "training", "instances_train2014"}) {
    CHECK(io::detail::split_name(name) == "train");
  }
  CHECK(io::detail::split_name("test-dev") == std::nullopt);  // two words that are splits: better none
  CHECK(io::detail::split_name("testing") == "test");
  for (const char* name : {"", "trainval", "images", "latest", "values"}) {
    CHECK(io::detail::split_name(name) == std::nullopt);
  }
}

TEST_CASE("dataset: COCO per split, classes in the order of ids and joined by name") {
  const TempFolder folder;
  put_photo(folder / "train/a.bmp", 20, 10, 1);
  put(folder / "train/_annotations.coco.json",
      coco_text(R"({"id": 1, "image_id": 9, "category_id": 5, "bbox": [2, 1, 4, 3]},
{"id": 2, "image_id": 9, "category_id": 1, "bbox": [0, 0, 20, 10], "segmentation": [[1, 2, 3]], "iscrowd": 0})"));
  put_photo(folder / "valid/b.bmp", 20, 10, 2);
  put(folder / "valid/_annotations.coco.json",
      R"({"images": [{"id": "x", "file_name": "b.bmp"}], "annotations": [{"image_id": "x", "category_id": 0, "bbox": [5.5, 0, 1, 10]}],
          "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "emu"}]})");
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(dataset.format == "coco");
  CHECK(dataset.classes == std::vector<std::string>{"cat", "dog", "emu"});
  CHECK(fault_text(dataset) == "");
  REQUIRE(dataset.splits.size() == 2);
  CHECK(dataset.find("test") == nullptr);
  const io::LabelledImage& image = dataset.find("train")->images.at(0);
  CHECK(image.name == "a.bmp");
  CHECK(image.width == 20);
  CHECK(image.height == 10);
  REQUIRE(image.boxes.size() == 2);
  CHECK(same_box(image.boxes[0], 1, 4. / 20, 2.5 / 10, 4. / 20, 3. / 10));
  CHECK(same_box(image.boxes[1], 0, .5, .5, 1, 1));
  CHECK(same_box(dataset.find("valid")->images.at(0).boxes.at(0), 1, 6. / 20, .5, 1. / 20, 1));
}

TEST_CASE("dataset: COCO's own layout, a folder of one JSON, a JSON file") {
  const TempFolder folder;
  const std::string json = coco_text(R"({"image_id": 9, "category_id": 5, "bbox": [2, 1, 4, 3]})");
  put(folder / "annotations/instances_train2017.json", json);
  put(folder / "annotations/instances_val2017.json", json);
  put(folder / "annotations/captions_val2017.json", "no boxes");
  put_photo(folder / "images/train2017/a.bmp", 20, 10, 1);
  put_photo(folder / "val2017/a.bmp", 20, 10, 2);
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "");
  REQUIRE(dataset.splits.size() == 2);
  CHECK(dataset.find("train")->images.at(0).file.parent_path().filename() == "train2017");
  CHECK(dataset.find("valid")->images.at(0).file.parent_path().filename() == "val2017");

  const io::Dataset valid = read_dataset(folder / "annotations/instances_val2017.json");
  REQUIRE(valid.splits.size() == 1);
  CHECK(valid.splits[0].name == "valid");

  put_photo(folder / "one/images/a.bmp", 20, 10, 3);
  put(folder / "one/labels.json", json);
  CHECK(read_dataset(folder / "one").find("train")->images.size() == 1);
}

TEST_CASE("dataset: COCO as CVAT and FiftyOne lay it out") {
  const TempFolder folder;
  const std::string json = coco_text(R"({"image_id": 9, "category_id": 5, "bbox": [2, 1, 4, 3]})");
  put(folder / "cvat/annotations/instances_default.json", json);
  put_photo(folder / "cvat/images/default/a.bmp", 20, 10, 1);
  const io::Dataset one = read_dataset(folder / "cvat");
  CHECK(fault_text(one) == "");
  CHECK(one.find("train")->images.at(0).boxes.size() == 1);

  // Equal names in the folders of the subsets: each JSON takes its own.
  put(folder / "cvat/annotations/instances_Validation.json", json);
  put_photo(folder / "cvat/images/Validation/a.bmp", 20, 10, 2);
  const io::Dataset two = read_dataset(folder / "cvat");
  CHECK(fault_text(two) == "");
  REQUIRE(two.splits.size() == 2);
  CHECK(two.find("train")->images.at(0).file.parent_path().filename() == "default");
  CHECK(two.find("valid")->images.at(0).file.parent_path().filename() == "Validation");
  CHECK(read_dataset(folder / "cvat/annotations/instances_default.json").find("train")->images.size() == 1);

  put(folder / "fiftyone/labels.json", json);
  put_photo(folder / "fiftyone/data/a.bmp", 20, 10, 1);
  CHECK(fault_text(read_dataset(folder / "fiftyone")) == "");
}

TEST_CASE("dataset: COCO photos that are not where file_name says are found by a name that is clear") {
  const TempFolder folder;
  const auto read = [&](const std::string& images) {
    put(folder / "result.json", coco_text("", images));
    return read_dataset(folder / "");
  };
  put_photo(folder / "images/0-a.bmp", 20, 10, 1);
  put_photo(folder / "images/1-b.bmp", 20, 10, 2);
  // Label Studio: places on its server, of either system.
  const std::string upload = "../../label-studio/data/media/upload/1/";
  const io::Dataset moved = read(R"({"id": 0, "file_name": ")" + upload + R"(0-a.bmp"},
{"id": 1, "file_name": "C:\\upload\\1\\1-b.bmp"},
{"id": 2, "file_name": ")" + upload +
                                 R"(2-c.bmp"})");
  CHECK(fault_text(moved) == "missing_image result.json:6 warning, missing_image result.json:8 fatal");
  CHECK(moved.faults[0].message.find("2 photos") != std::string::npos);
  CHECK(moved.splits.at(0).images.size() == 2);

  // Two places with one name, or two photos of that name: nobody knows which.
  const io::Dataset twice = read(R"({"id": 0, "file_name": "x/0-a.bmp"}, {"id": 1, "file_name": "y/0-a.bmp"},
{"id": 2, "file_name": "images/1-b.bmp"})");
  CHECK(fault_text(twice) == "missing_image result.json:6 fatal, missing_image result.json:6 fatal");
  put_photo(folder / "0-a.bmp", 20, 10, 3);
  const io::Dataset copies = read(R"({"id": 0, "file_name": "x/0-a.bmp"}, {"id": 2, "file_name": "images/1-b.bmp"})");
  CHECK(fault_text(copies) == "missing_image result.json:6 fatal");
}

TEST_CASE("dataset: data.yaml with lists, maps, Roboflow's paths and label folders") {
  const TempFolder folder;
  for (const char* names : {"[cat, dog]", "{0: cat, 1: dog}", "\n- cat\n- 'dog'", "\n  1: dog\n  0: cat"}) {
    const fs::path root = folder / "y";
    put_photo(root / "train/images/a.bmp", 20, 10, 1);
    put(root / "train/labels/a.txt", "1 0.5 0.5 0.25 0.5\r\n\n0 0.1 0.1 0.2 0.2\r\n");
    put_photo(root / "lists/b.bmp", 20, 10, 2);
    put(root / "lists/b.txt", "");
    put(root / "val.txt", "./lists/b.bmp\n");
    put(root / "data.yaml", "train: ../train/images\nval: [val.txt]\ntest:\nnc: 2\nroboflow: {a: [1]}\nnames: " +
                                std::string(names) + "\n");
    const io::Dataset dataset = read_dataset(root);
    CHECK(dataset.format == "yolo");
    CHECK(dataset.classes == std::vector<std::string>{"cat", "dog"});
    CHECK(fault_text(dataset) == "");
    REQUIRE(dataset.splits.size() == 2);
    REQUIRE(dataset.find("train")->images.at(0).boxes.size() == 2);
    CHECK(same_box(dataset.find("train")->images[0].boxes[0], 1, .5, .5, .25, .5));
    CHECK(dataset.find("valid")->images.at(0).boxes.empty());
    fs::remove_all(root);
  }
  put_photo(folder / "p/set/images/val/a.bmp", 20, 10, 1);
  put(folder / "p/set/labels/val/a.txt", "2 .5 .5 .2 .2");
  put(folder / "p/data.yaml", "path: set\nval: images/val\nnc: 3\n");
  CHECK(read_dataset(folder / "p").classes == std::vector<std::string>{"class_0", "class_1", "class_2"});
  put(folder / "p/data.yaml", "path: set\nval: images/val\n");
  put(folder / "p/classes.txt", "x\ny\nz\n\n\n");
  CHECK(read_dataset(folder / "p/data.yaml").classes == std::vector<std::string>{"x", "y", "z"});
}

TEST_CASE("dataset: YOLO folders without a yaml") {
  const TempFolder folder;
  put_photo(folder / "a/images/train/a.bmp", 20, 10, 1);
  put_photo(folder / "a/images/val/b.bmp", 20, 10, 2);
  put(folder / "a/labels/train/a.txt", "3 .5 .5 .2 .2");
  put(folder / "a/labels/val/b.txt", "");
  const io::Dataset numbered = read_dataset(folder / "a");
  CHECK(numbered.classes == std::vector<std::string>{"class_0", "class_1", "class_2", "class_3"});
  CHECK(numbered.splits.size() == 2);

  put_photo(folder / "b/images/a.bmp", 20, 10, 1);
  put(folder / "b/labels/a.txt", "0 .5 .5 .2 .2");
  put(folder / "b/obj.names", "cat\ndog\n");
  const io::Dataset named = read_dataset(folder / "b");
  CHECK(named.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(named.find("train")->images.at(0).boxes.size() == 1);

  put_photo(folder / "c/test/images/a.bmp", 20, 10, 1);
  put(folder / "c/test/labels/a.txt", "0 .5 .5 .2 .2");
  CHECK(read_dataset(folder / "c").find("test")->images.size() == 1);
  CHECK(read_dataset(folder / "c/test").find("test")->images.size() == 1);

  put_photo(folder / "d/a.bmp", 20, 10, 1);
  put(folder / "d/a.txt", "0 .5 .5 .2 .2");
  CHECK(read_dataset(folder / "d").find("train")->images.size() == 1);
}

TEST_CASE("dataset: labels beside the photo come before labels/, the innermost images/ before outer ones") {
  const std::vector<fs::path> found = io::detail::label_candidates("/d/images/x/images/a.b.jpg");
  CHECK(found == std::vector<fs::path>{"/d/images/x/images/a.b.txt", "/d/images/x/labels/a.b.txt",
                                       "/d/labels/x/images/a.b.txt"});
  CHECK(io::detail::label_candidates("JPEGImages/a.png") == std::vector<fs::path>{"JPEGImages/a.txt", "labels/a.txt"});
  CHECK(io::detail::label_candidates("images") == std::vector<fs::path>{"images.txt"});
}

TEST_CASE("dataset: darknet .data, paths from the folder above as darknet's own tree has them") {
  const TempFolder folder;
  put_photo(folder / "data/obj/a.bmp", 20, 10, 1);
  put(folder / "data/obj/a.txt", "1 .5 .5 .2 .2\n");
  put_photo(folder / "data/obj/my photo.bmp", 20, 10, 2);
  put(folder / "data/obj/my photo.txt", "");
  put(folder / "data/train.txt", "data/obj/a.bmp\r\n\n");
  put(folder / "data/test.txt", "data\\obj\\my photo.bmp");
  put(folder / "data/obj.names", "cat\ndog\n\n");
  put(folder / "data/obj.data",
      "# comment\nclasses= 2\ntrain  = data/train.txt\nvalid = data/test.txt\nnames=data/obj.names\nbackup = "
      "backup/\n");
  const io::Dataset dataset = read_dataset(folder / "data");
  CHECK(dataset.format == "darknet");
  CHECK(dataset.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(fault_text(dataset) == "");
  CHECK(dataset.find("train")->images.at(0).boxes.at(0).cls == 1);
  CHECK(dataset.find("valid")->images.at(0).name == "my photo.bmp");
}

TEST_CASE("dataset: what cannot be read at all") {
  const TempFolder folder;
  CHECK(error_of([&] { read_dataset(folder / "nowhere"); }) ==
        (folder / "nowhere").string() + ": no such folder or file");
  const std::string nothing = error_of([&] { read_dataset(folder / ""); });
  for (const char* looked : {"_annotations.coco.json", "data.yaml", "*.data", "Annotations/*.xml"}) {
    CHECK(nothing.find(looked) != std::string::npos);
  }
  CHECK(error_of([&] { read_dataset(put(folder / "x.csv", "")); }).find("not a dataset") != std::string::npos);
  put(folder / "a.yaml", "train: t");
  put(folder / "b.yml", "train: t");
  CHECK(error_of([&] { read_dataset(folder / ""); }).find("a.yaml, b.yml") != std::string::npos);
  CHECK(error_of([&] { read_dataset(folder / "a.yaml"); }).find("no usable photo in it: 1 faults, the first") !=
        std::string::npos);
}

TEST_CASE("dataset: errors of whole files name the line") {
  struct Case {
    const char *name, *text, *message;
  };
  const std::vector<Case> cases = {
      {"a.json", "{\n\"images\": [\n}", "a.json:3: not valid JSON"},
      {"a.json", "{\"images\": [], \"categories\": []}", "a.json:1: not COCO JSON: it has no array \"annotations\""},
      {"a.json", "[1]", "a.json:1: not COCO JSON"},
      {"a.json", "{\"images\": [],\n\"images\": []}", "a.json:2: \"images\" stands here a second time"},
      {"a.json", "{\"images\": [], \"annotations\": [1e999]}", "a.json:1: not valid JSON"},
      {"a.json", "{\"images\": [], \"annotations\": [], \"categories\": [\n{\"id\": 1}]}",
       "a.json:2: a category needs"},
      {"a.json",
       "{\"images\": [], \"annotations\": [], \"categories\": [{\"id\": 1, \"name\": \"a\"},\n{\"id\": 1, "
       "\"name\": \"b\"}]}",
       "a.json:2: category id 1 is used twice"},
      {"a.yaml", "train: t\nnames: [a, b\n", "a.yaml:3: not valid YAML"},
      {"a.yaml", "- 1", "a.yaml:1: not a data.yaml"},
      {"a.yaml", "names: [a]", "a.yaml:1: no photos named"},
      {"a.yaml", "train: t\nnames: [a, b]\nnc: 3", "a.yaml:3: nc is 3, but there are 2 names"},
      {"a.yaml", "train: t\nnames: {0: a, 2: b}", "a.yaml:2: class number '2'"},
      {"a.yaml", "train: t\nnames: {0: a, 0: b}", "a.yaml:2: class"},
      {"a.yaml", "train: t\nnames: [a, a]", "a.yaml:2: class 'a' is named twice"},
      {"a.yaml", "train: t\ntrain: u", "a.yaml:2: 'train' stands here a second time"},
      {"a.yaml", "train: t\nnc: many", "a.yaml:2: 'nc' must be the number"},
      {"a.yaml", "train: {a: b}", "a.yaml:1: 'train' must be a text"},
      {"a.data", "classes = 2\ntrain\n", "a.data:2: must be 'key = value'"},
      {"a.data", "train = a\n\ntrain = b", "a.data:3: 'train' stands here a second time"},
      {"a.data", "train =", "a.data:1: 'train' has no value"},
      {"a.data", "classes = 1.5\ntrain = a", "a.data:1: 'classes' must be"},
      {"a.data", "classes = 2", "a.data: names no list of photos"},
      {"a.data", "train = a\nnames = b", "a.data:2: no names file 'b'"},
      {"a.data", "names = n\nclasses = 3", "a.data:2: classes = 3, but "},
      {"a.data", "names = gap", "gap:2: blank line between class names"},
      {"a.data", "names = twice", "twice:3: class 'x' is named twice, first on line 1"},
  };
  const TempFolder folder;
  put(folder / "n", "x\ny\n");
  put(folder / "gap", "x\n\ny\n");
  put(folder / "twice", "x\ny\nx\n");
  for (const Case& test : cases) {
    const std::string message = error_of([&] { read_dataset(put(folder / test.name, test.text)); });
    INFO(message);
    CHECK(message.find(test.message) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

namespace {

// One photo with a box of each class number.
fs::path put_classes(const TempFolder& folder, const std::string& names, const std::string& labels) {
  put_photo(folder / "images/a.bmp", 20, 10, 1);
  put(folder / "labels/a.txt", labels);
  put(folder / "classes.txt", names);
  return folder / "";
}

std::vector<int> classes_of(const io::Dataset& dataset) {
  std::vector<int> found;
  for (const io::LabelBox& box : dataset.splits.at(0).images.at(0).boxes) found.push_back(box.cls);
  return found;
}

}  // namespace

TEST_CASE("dataset: classes are merged, renamed and dropped") {
  const TempFolder folder;
  const fs::path root = put_classes(folder, "a\nb\nc\nd\n", "0 .1 .1 .1 .1\n1 .2 .2 .1 .1\n3 .3 .3 .1 .1\n");
  using Merge = std::vector<std::pair<std::string, std::string>>;
  const auto read = [&](const Merge& merge, bool drop) {
    return read_dataset(root, {.merge = merge, .drop_unused_classes = drop});
  };
  using Names = std::vector<std::string>;
  CHECK(read({}, true).classes == Names{"a", "b", "d"});
  CHECK(classes_of(read({}, true)) == std::vector<int>{0, 1, 2});
  CHECK(read({{"a", "d"}}, false).classes == Names{"b", "c", "d"});
  CHECK(classes_of(read({{"a", "d"}}, false)) == std::vector<int>{2, 0, 2});
  CHECK(read({{"b", "new"}}, false).classes == Names{"a", "new", "c", "d"});
  CHECK(read({{"a", "b"}, {"b", "c"}}, true).classes == Names{"c", "d"});
  CHECK(classes_of(read({{"a", "b"}, {"b", "c"}}, true)) == std::vector<int>{0, 0, 1});
  CHECK(read({{"d", "d"}}, false).classes == Names{"a", "b", "c", "d"});
  CHECK(error_of([&] { read({{"a", "b"}, {"a", "c"}}, false); }).find("there is no class 'a'") != std::string::npos);
  CHECK(error_of([&] { read({{"e", "b"}}, false); }).find("classes are: a, b, c, d") != std::string::npos);
  CHECK(error_of([&] { read({{"a", ""}}, false); }) != "");

  // Boxes that become equal by merging are doubles.
  put(folder / "labels/a.txt", "0 .1 .1 .1 .1\n1 .1 .1 .1 .1\n");
  CHECK(fault_text(read({}, false)) == "");
  CHECK(fault_text(read({{"a", "b"}}, false)) == "duplicate_box a.txt:2 warning");
}

TEST_CASE("dataset: a misspelt class to merge is suggested") {
  const TempFolder folder;
  const fs::path root = put_classes(folder, "black-bishop\nwhite-rook\n", "0 .1 .1 .1 .1\n");
  CHECK(error_of([&] {
          read_dataset(root, {.merge = {{"black-bishp", "x"}}});
        }).find("did you mean 'black-bishop'") != std::string::npos);
}

TEST_CASE("dataset: keep_only takes names with and without folder and ending, and names what it misses") {
  const TempFolder folder;
  const auto split = [] {
    io::Split result{.name = "train", .images = {}};
    for (const char* file : {"/d/x/1.jpg", "/d/x/2.rf.ab.jpg", "/d/y/1.jpg", "/d/y/4.png"}) {
      io::LabelledImage image;
      image.file = file;
      image.name = image.file.filename().string();
      result.images.push_back(image);
    }
    return result;
  };
  const auto kept = [&](const std::string& list) {
    io::Split result = split();
    io::keep_only(result, put(folder / "list.txt", list));
    std::string text;
    for (const io::LabelledImage& image : result.images) text += image.file.string() + " ";
    return text;
  };
  CHECK(kept("4\n\n2.rf.ab.jpg\r\n") == "/d/x/2.rf.ab.jpg /d/y/4.png ");
  CHECK(kept("elsewhere/2.rf.ab\n2.rf.ab\n") == "/d/x/2.rf.ab.jpg ");
  CHECK(kept("y/1.jpg\n") == "/d/y/1.jpg ");
  CHECK(kept("d/x/1\n") == "/d/x/1.jpg ");
  CHECK(error_of([&] { kept("1.jpg\n"); }).find("list.txt:1: '1.jpg' fits 2 photos") != std::string::npos);
  const std::string missed = error_of([&] { kept("4\nnone\n2.rf\n4.jpg\n"); });
  CHECK(missed.find("3 of 4 lines name no photo of train: line 2 'none', line 3 '2.rf', line 4 '4.jpg'") !=
        std::string::npos);
  CHECK(error_of([&] { kept("\n"); }).find("names no photo") != std::string::npos);
  CHECK(error_of([&] {
          io::Split result = split();
          io::keep_only(result, folder / "nowhere");
        }).find("cannot be opened") != std::string::npos);
}
