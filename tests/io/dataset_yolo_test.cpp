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
  for (const char* where : {"darknet/data", "yaml"}) {
    const io::Dataset dataset = read_dataset(folder / where);
    CHECK(fault_text(dataset) == "");
    CHECK(photos_text(dataset) == "train 1, valid 1");
  }
  put(folder / "darknet/data/obj.data", "train = data/Train.txt\nTrain = data/Validation.txt\n");
  CHECK(error_of([&] {
          read_dataset(folder / "darknet/data");
        }).find("obj.data:2: 'train' stands here a second time") != std::string::npos);
}
