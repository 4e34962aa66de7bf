// YOLO and darknet sets in the form in which annotation tools write them.
#include "dataset_support.h"
#include "io/dataset_internal.h"

using namespace rook;
using namespace rook::test;
using io::read_dataset;

namespace {

constexpr const char* kBoxes = "0 0.5 0.5 0.2 0.3\n1 0.25 0.25 0.1 0.1\n";

// Photos and labels, by the photos' stems.
void put_labelled(const fs::path& photos, const fs::path& labels, const std::vector<std::string>& stems,
                  std::string_view text = kBoxes) {
  static int shade = 0;  // no two photos of equal bytes
  for (const std::string& stem : stems) {
    put_photo(photos / (stem + ".bmp"), 20, 10, ++shade);
    put(labels / (stem + ".txt"), text);
  }
}

// "train 2, valid 1"
std::string photos_text(const io::Dataset& dataset) {
  std::string text;
  for (const io::Split& split : dataset.splits) {
    text += (text.empty() ? "" : ", ") + split.name + " " + std::to_string(split.images.size());
  }
  return text;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("dataset yolo: CVAT's YOLO 1.1, whose paths begin with a data/ that the archive does not have") {
  const TempFolder folder;
  put_labelled(folder / "obj_train_data", folder / "obj_train_data", {"f0", "f1"});
  put(folder / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n");
  put(folder / "obj.names", "cat\ndog\n");
  put(folder / "train.txt", "data/obj_train_data/f0.bmp\ndata/obj_train_data/f1.bmp\n");
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "");
  CHECK(dataset.classes == Names{"cat", "dog"});
  CHECK(photos_text(dataset) == "train 2");
  // A data/ that is there goes first.
  put_labelled(folder / "data/obj_train_data", folder / "data/obj_train_data", {"f0"});
  CHECK(read_dataset(folder / "").find("train")->images.at(0).file == folder / "data/obj_train_data/f0.bmp");
}

TEST_CASE("dataset yolo: CVAT's Ultralytics YOLO, whose lists name photos below the same data/") {
  const TempFolder folder;
  put_labelled(folder / "images/train", folder / "labels/train", {"f0", "f1"});
  put(folder / "train.txt", "data/images/train/f0.bmp\ndata/images/train/f1.bmp\n");
  put(folder / "data.yaml", "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\n");
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "");
  CHECK(photos_text(dataset) == "train 2");
}

TEST_CASE("dataset yolo: splits named as people write them") {
  const TempFolder folder;
  for (const char* split : {"Train", "Validation"}) {
    const std::string name = split;
    const fs::path data = folder / "darknet/data";
    put_labelled(data / ("obj_" + name + "_data"), data / ("obj_" + name + "_data"), {name + "0", name + "1"});
    put(data / (name + ".txt"), "data/obj_" + name + "_data/" + name + "0.bmp\n");
    put_labelled(folder / "yaml/images" / name, folder / "yaml/labels" / name, {name + "0", name + "1"});
    put(folder / "yaml" / (name + ".txt"), "images/" + name + "/" + name + "1.bmp\n");
  }
  put(folder / "darknet/data/obj.names", "cat\ndog\n");
  put(folder / "darknet/data/obj.data",
      "classes = 2\nTrain = data/Train.txt\nValidation = data/Validation.txt\nnames = data/obj.names\n");
  put(folder / "yaml/data.yaml",
      "Train: Train.txt\nValidation: Validation.txt\nval_split: 0.2\nnames: [cat, dog]\npath: .\n");
  for (const char* where : {"darknet/data", "darknet", "yaml"}) {
    const io::Dataset dataset = read_dataset(folder / where);
    CHECK(fault_text(dataset) == "");
    CHECK(photos_text(dataset) == "train 1, valid 1");
  }
  put(folder / "darknet/data/obj.data", "train = data/Train.txt\nTrain = data/Validation.txt\n");
  CHECK(error_of([&] {
          read_dataset(folder / "darknet/data");
        }).find("obj.data:2: 'train' stands here a second time") != std::string::npos);
}

TEST_CASE("dataset yolo: data.yaml as Roboflow's download leaves it: the folder's name before train and valid") {
  const TempFolder folder;
  const fs::path root = folder / "Chess-1";
  for (const char* split : {"train", "valid", "test"}) {
    put_labelled(root / split / "images", root / split / "labels", {std::string(split) + "0"});
  }
  for (const char* before : {"Chess-1/", "/content/Chess-1/", "sets/Chess-1/"}) {
    put(root / "data.yaml", "names:\n- cat\n- dog\nnc: 2\ntest: ../test/images\ntrain: " + std::string(before) +
                                "train/images\nval: " + before + "valid/images\n");
    const io::Dataset dataset = read_dataset(root);
    CHECK(fault_text(dataset) == "");
    CHECK(photos_text(dataset) == "train 1, valid 1, test 1");
  }
}

TEST_CASE("dataset yolo: ../train/images is beside the yaml even where there is one above it, and that is said") {
  const TempFolder folder;
  put_labelled(folder / "set/train/images", folder / "set/train/labels", {"own"});
  put_labelled(folder / "train/images", folder / "train/labels", {"other"});
  put_labelled(folder / "valid/images", folder / "valid/labels", {"another"});
  put(folder / "set/data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n");
  const io::Dataset dataset = read_dataset(folder / "set");
  CHECK(fault_text(dataset) ==
        "unclear_layout data.yaml:1 warning, unclear_layout data.yaml:2 warning, missing_image data.yaml:2 warning");
  CHECK(dataset.faults.at(0).message.find((folder / "train/images").string() + " is there too") != std::string::npos);
  CHECK(photos_text(dataset) == "train 1");
  CHECK(dataset.find("train")->images.at(0).name == "own.bmp");
  // A path: means what stands there, and so does ../ where nothing lies beside the yaml.
  put(folder / "set/data.yaml", "path: ../set/train\ntrain: ../../train/images\nnames: [cat, dog]\n");
  CHECK(read_dataset(folder / "set").find("train")->images.at(0).name == "other.bmp");
  put(folder / "cfg/data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n");
  const io::Dataset above = read_dataset(folder / "cfg");
  CHECK(fault_text(above) == "");
  CHECK(photos_text(above) == "train 1, valid 1");
}

TEST_CASE("dataset yolo: a split that is named and not there is a warning, part of one is not") {
  const TempFolder folder;
  put_labelled(folder / "images/train", folder / "labels/train", {"a"});
  put(folder / "data.yaml", "train: images/train\nval: ../valid/images\ntest: images/test\nnames: [cat, dog]\n");
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "missing_image data.yaml:2 warning, missing_image data.yaml:3 warning");
  CHECK(photos_text(dataset) == "train 1");
  put(folder / "data.yaml", "train: [images/train, images/more]\nnames: [cat, dog]\n");
  CHECK(fault_text(read_dataset(folder / "")) == "missing_image data.yaml:1 fatal");
  put(folder / "data.yaml", "train: images/none\nval: images/val\nnames: [cat, dog]\n");
  CHECK(error_of([&] { read_dataset(folder / ""); }).find("no usable photo in it: 2 faults") != std::string::npos);

  put(folder / "list.txt", "images/train/a.bmp\n");
  put(folder / "set/x.data", "classes = 2\ntrain = list.txt\nvalid = valid.txt\nnames = x.names\n");
  put(folder / "set/x.names", "cat\ndog\n");
  CHECK(fault_text(read_dataset(folder / "set")) == "missing_image x.data:3 warning");
}

TEST_CASE("dataset yolo: polygons among boxes, as Roboflow writes them, become the boxes around them") {
  const TempFolder folder;
  const std::string rows = "0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n1 0.5 0.5 0.6 0.5 0.6 0.7 0.55 0.8 0.5 0.7\n";
  put_labelled(folder / "train/images", folder / "train/labels", {"a"}, rows + kBoxes);
  put_labelled(folder / "valid/images", folder / "valid/labels", {"b"}, rows);
  const std::string yaml = "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n";
  put(folder / "data.yaml", yaml);
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "polygon a.txt:1 warning");
  CHECK(dataset.faults.at(0).message.starts_with("4 rows are polygons"));
  const io::LabelledImage& image = dataset.find("train")->images.at(0);
  REQUIRE(image.boxes.size() == 4);
  CHECK(same_box(image.boxes[0], 0, .2, .25, .2, .3));
  CHECK(same_box(image.boxes[1], 1, .55, .65, .1, .3));
  CHECK(image.boxes[1].line == 2);
  CHECK(dataset.find("valid")->images.at(0).boxes.size() == 2);
  // Rows of poses may have as many numbers as a polygon.
  put(folder / "data.yaml", yaml + "kpt_shape: [2, 2]\n");
  const io::Dataset poses = read_dataset(folder / "");
  CHECK(faults_of(poses, io::Fault::Kind::bad_line).size() == 4);
  CHECK(faults_of(poses, io::Fault::Kind::polygon).empty());
}

TEST_CASE("dataset yolo: photos beside the folders of splits") {
  const TempFolder folder;
  put(folder / "classes.txt", "cat\ndog\n");
  put_labelled(folder / "images", folder / "labels", {"a", "b"});
  put_labelled(folder / "images/more", folder / "labels/more", {"c"});
  put_labelled(folder / "images/test", folder / "labels/test", {"d"});
  const io::Dataset dataset = read_dataset(folder / "");
  CHECK(fault_text(dataset) == "unclear_layout a.bmp:0 warning");
  CHECK(dataset.faults.at(0).message == "3 photos are in no folder of a split, this is the first: taken as train");
  CHECK(photos_text(dataset) == "train 3, test 1");
  put_labelled(folder / "images/train", folder / "labels/train", {"e"});
  const io::Dataset trained = read_dataset(folder / "");
  CHECK(fault_text(trained) == "unclear_layout a.bmp:0 fatal");
  CHECK(photos_text(trained) == "train 1, test 1");

  put(folder / "flat/classes.txt", "cat\ndog\n");
  put_labelled(folder / "flat", folder / "flat", {"a", "b"});
  put_labelled(folder / "flat/valid/day1", folder / "flat/valid/day1", {"c"});
  const io::Dataset flat = read_dataset(folder / "flat");
  CHECK(fault_text(flat) == "unclear_layout a.bmp:0 warning");
  CHECK(photos_text(flat) == "train 2, valid 1");
}

TEST_CASE("dataset yolo: links to folders are followed, circles end") {
  const TempFolder folder;
  put(folder / "set/classes.txt", "cat\ndog\n");
  put_labelled(folder / "set/images", folder / "set/labels", {"a"});
  put_labelled(folder / "elsewhere", folder / "set/labels/more", {"b", "c"});
  fs::create_directory_symlink(folder / "elsewhere", folder / "set/images/more");
  fs::create_directory_symlink(folder / "set/images", folder / "elsewhere/round");
  fs::create_directory_symlink(folder / "set", folder / "elsewhere/up");
  fs::create_directory_symlink(folder / "elsewhere", folder / "elsewhere/self");
  const io::Dataset dataset = read_dataset(folder / "set");
  CHECK(fault_text(dataset) == "");
  CHECK(photos_text(dataset) == "train 3");
  // A link that leads nowhere: its labels are told.
  fs::remove(folder / "set/images/more");
  fs::create_directory_symlink(folder / "nowhere", folder / "set/images/more");
  CHECK(fault_text(read_dataset(folder / "set")) == "missing_image b.txt:0 fatal, missing_image c.txt:0 fatal");
  // A folder that is reached by a link too keeps its own place, where its labels are.
  put_labelled(folder / "two/images/z", folder / "two/labels/z", {"a"});
  fs::create_directories(folder / "two/images/a");
  fs::create_directory_symlink(folder / "two/images/z", folder / "two/images/a/link");
  put(folder / "two/classes.txt", "cat\ndog\n");
  CHECK(fault_text(read_dataset(folder / "two")) == "");
}

TEST_CASE("dataset yolo: labels without a photo are told beside photos too; .jfif is a photo") {
  const TempFolder folder;
  const fs::path set = folder / "set";
  put_labelled(set, set, {"a", "b"});
  put(set / "classes.txt", "cat\ndog\n");
  put(set / "README.txt", "two photos\n");
  put(set / "README.md", "two photos\n");
  put(set / "train.txt", "a.bmp\nb.bmp\n");
  put(set / "empty.txt", "");
  fs::rename(set / "b.bmp", set / "b.jfif");
  CHECK(fault_text(read_dataset(set)) == "");
  CHECK(photos_text(read_dataset(set)) == "train 2");
  put(set / "orphan.txt", kBoxes);
  put(set / "raw.txt", kBoxes);
  put(set / "raw.cr2", "?");
  const io::Dataset dataset = read_dataset(set);
  CHECK(fault_text(dataset) == "missing_image orphan.txt:0 fatal, missing_image raw.txt:0 fatal");
  CHECK(dataset.faults.at(0).message == "labels without a photo");
  CHECK(dataset.faults.at(1).message.find("raw.cr2 is not read as one") != std::string::npos);
}

TEST_CASE("dataset yolo: names of classes are found where tools leave them") {
  const TempFolder folder;
  const auto check_named = [](const fs::path& where) {
    const io::Dataset dataset = read_dataset(where);
    CHECK(fault_text(dataset) == "");
    CHECK(dataset.classes == Names{"cat", "dog"});
  };
  for (const char* split : {"train", "valid"}) {
    // Roboflow's darknet export, and LabelImg saving to photos of splits and to labels of splits.
    put_labelled(folder / "roboflow" / split, folder / "roboflow" / split, {split});
    put(folder / "roboflow" / split / "_darknet.labels", "cat\ndog");
    put_labelled(folder / "beside" / split, folder / "beside" / split, {split});
    put(folder / "beside" / split / "classes.txt", "cat\r\ndog\r\n");
    put_labelled(folder / "apart/images" / split, folder / "apart/labels" / split, {split});
    put(folder / "apart/labels" / split / "classes.txt", "cat\ndog\n");
    put_labelled(folder / "inner" / split / "images", folder / "inner" / split / "labels", {split});
    put(folder / "inner" / split / "classes.txt", "cat\ndog\n");
  }
  for (const char* where : {"roboflow", "roboflow/train", "beside", "apart", "inner"}) check_named(folder / where);
  put(folder / "apart/data.yaml", "train: images/train\nval: images/valid\nnc: 2\n");
  check_named(folder / "apart");
  put(folder / "roboflow/list.txt", "train/train.bmp\n");
  put(folder / "roboflow/x.data", "train = list.txt\n");
  check_named(folder / "roboflow");
}

TEST_CASE("dataset yolo: files of names that do not agree, and none at all") {
  const TempFolder folder;
  for (const char* split : {"train", "val"}) {
    put_labelled(folder / "images" / split, folder / "labels" / split, {split});
  }
  const io::Dataset unnamed = read_dataset(folder / "");
  REQUIRE(unnamed.faults.size() == 1);
  CHECK(unnamed.faults[0].kind == io::Fault::Kind::class_names);
  CHECK_FALSE(unnamed.faults[0].fatal);
  CHECK(unnamed.classes == Names{"class_0", "class_1"});
  put(folder / "labels/train/classes.txt", "cat\ndog\n");
  put(folder / "labels/val/classes.txt", "dog\ncat\nowl\n");
  const std::string message = error_of([&] { read_dataset(folder / ""); });
  CHECK(message.find("labels/train/classes.txt:1: class 0 is 'cat' here and 'dog' in ") != std::string::npos);
  CHECK(message.find("labels/val/classes.txt: make them agree") != std::string::npos);
  // LabelImg's list grows while one labels.
  put(folder / "labels/val/classes.txt", "cat\ndog\nowl\n");
  const io::Dataset grown = read_dataset(folder / "");
  CHECK(fault_text(grown) == "class_names classes.txt:0 warning");
  CHECK(grown.faults.at(0).file == folder / "labels/train/classes.txt");
  CHECK(grown.classes == Names{"cat", "dog", "owl"});
  put(folder / "classes.txt", "dog\ncat\n");
  CHECK(error_of([&] { read_dataset(folder / ""); }).find((folder / "classes.txt").string()) != std::string::npos);
  // As many as the yaml says, or none.
  fs::remove(folder / "classes.txt");
  put(folder / "data.yaml", "train: images/train\nval: images/val\nnc: 2\n");
  CHECK(read_dataset(folder / "").classes == Names{"class_0", "class_1"});
}
