// Adding photos to a data set: what is the same photo, which split it comes to, and that a fault adds nothing.
#include <map>
#include <set>

#include "io/content_hash.h"
#include "store_support.h"

using namespace rook;
using namespace rook::test;

namespace {

std::map<std::string, std::string> splits_of(const io::Store& store, const std::string& name) {
  std::map<std::string, std::string> splits;
  for (const io::StoredPhoto& photo : store.read_set(name).photos) splits[photo.name] = photo.split;
  return splits;
}

std::string add_error(const io::Store& store, const fs::path& folder, const io::AddOptions& options = {}) {
  return error_of([&] { io::add_photos(store, "pets", folder, options); });
}

}  // namespace

TEST_CASE("store add: photos, boxes and classes are those of the folder") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 6);
  const io::Store store = new_store(folder / "data", "pets");
  int last = 0;
  const io::AddReport report =
      io::add_photos(store, "pets", folder / "in", {.split = "train", .progress = [&](int done, int all) {
                                                      CHECK(all == 6);
                                                      last = std::max(last, done);
                                                    }});
  CHECK(last == 6);
  CHECK_FALSE(report.refused);
  CHECK(report.change.photos == 6);
  CHECK(report.change.boxes == 9);
  const io::StoredSet set = store.read_set("pets");
  CHECK(set.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(set.changes.size() == 1);
  REQUIRE(set.photos.size() == 6);
  for (const io::StoredPhoto& photo : set.photos) {
    CHECK(load(store.object(photo)) == load(folder / "in/images" / photo.name));
    CHECK(photo.hash == io::content_hash_of_file(store.object(photo)));
    CHECK(photo.split == "train");
    CHECK((photo.width == 68 && photo.height == 64));
  }
  CHECK(io::verify(store).empty());
  // The store is a data set like any other.
  const io::Dataset dataset = io::read_dataset(folder / "data/pets/");
  CHECK(dataset.format == "rook");
  CHECK(dataset.faults.empty());
  REQUIRE(dataset.splits.size() == 1);
  REQUIRE(dataset.splits[0].images.size() == 6);
  CHECK(dataset.splits[0].images[1].name == "a1.png");
  REQUIRE(dataset.splits[0].images[1].boxes.size() == 2);
  CHECK(same_box(dataset.splits[0].images[1].boxes[1], 1, .25, .25, .125, .5, 0));
}

TEST_CASE("store add: one fault anywhere, and nothing is added") {
  const TempFolder folder;
  put_yolo(folder / "good", 1, 4);
  put_yolo(folder / "bad", 100, 5, "b");
  const io::Store store = new_store(folder / "data", "pets");
  io::add_photos(store, "pets", folder / "good", {});
  const auto before = content_of(folder / "data");
  put(folder / "bad/labels/b1.txt", "0 0.5 0.5 0.25 0.25\n7 0.5 0.5 0.25 0.25\n");
  const ByteVector whole = load(folder / "bad/images/b3.png");
  save(folder / "bad/images/b3.png", std::span(whole).first(whole.size() / 2));
  io::AddReport report = io::add_photos(store, "pets", folder / "bad", {});
  CHECK(report.refused);
  CHECK(content_of(folder / "data") == before);
  REQUIRE(report.faults.size() == 2);
  CHECK(report.faults[0].kind == io::Fault::Kind::unknown_class);
  CHECK(report.faults[0].file == folder / "bad/labels/b1.txt");
  CHECK(report.faults[0].line == 2);
  CHECK(report.faults[1].kind == io::Fault::Kind::unreadable_image);
  CHECK(report.faults[1].file == folder / "bad/images/b3.png");
  // Asked for, the rest is added.
  report = io::add_photos(store, "pets", folder / "bad", {.skip_faulty = true});
  CHECK_FALSE(report.refused);
  CHECK(report.change.photos == 4);
  CHECK(report.change.boxes == 4);
  CHECK(store.read_set("pets").photos.size() == 8);
}

TEST_CASE("store add: a JPEG cut off after its head is seen") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 2);
  fs::remove(folder / "in/images/a0.png");
  const fs::path file = put_scene(folder / "in/images/a0.jpg", 1, 340, 320);
  const ByteVector whole = load(file);
  const io::Store store = new_store(folder / "data", "pets");
  save(file, std::span(whole).first(whole.size() - 100));
  CHECK(io::add_photos(store, "pets", folder / "in", {}).refused);
  // So is damage within the pixel data: a run of ones is no code.
  ByteVector damaged = whole;
  for (std::size_t i = whole.size() - 100; i < whole.size() - 2; ++i) damaged[i] = i % 2 == 0 ? 0xFF : 0x00;
  save(file, damaged);
  CHECK(io::add_photos(store, "pets", folder / "in", {}).refused);
  save(file, whole);
  CHECK(io::add_photos(store, "pets", folder / "in", {}).change.photos == 2);
}

TEST_CASE("store add: the same photo is not added twice: equal bytes, encoded again, resized") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 4);
  for (unsigned i = 0; i < 4; ++i)
    io::write_image(folder / "in/images" / ("a" + std::to_string(i) + ".png"), waves(i + 1, 340, 320));
  const io::Store store = new_store(folder / "data", "pets");
  io::add_photos(store, "pets", folder / "in", {});
  put(folder / "again/classes.txt", "cat\n");
  fs::create_directories(folder / "again/images");
  fs::copy_file(folder / "in/images/a0.png", folder / "again/images/copy.png");
  io::write_image(folder / "again/images/jpeg.jpg", waves(2, 340, 320), 60);
  io::write_image(folder / "again/images/large.jpg", waves(3, 680, 640));
  io::write_image(folder / "again/images/other.jpg", waves(50, 340, 320));
  io::write_image(folder / "again/images/other-small.jpg", waves(50, 255, 240));
  for (const char* stem : {"copy", "jpeg", "large", "other", "other-small"})
    put(folder / "again/labels" / (std::string(stem) + ".txt"), "0 0.5 0.5 0.25 0.25\n");
  const io::AddReport report = io::add_photos(store, "pets", folder / "again", {});
  CHECK(report.change.equal == 1);
  CHECK(report.change.near == 3);
  CHECK(report.change.photos == 1);
  REQUIRE(report.duplicates.size() == 4);
  std::map<std::string, const io::Duplicate*> of;
  for (const io::Duplicate& duplicate : report.duplicates) of[duplicate.file.filename().string()] = &duplicate;
  CHECK(of.at("copy.png")->of == "a0.png");
  CHECK(of.at("copy.png")->distance == -1);
  CHECK(of.at("jpeg.jpg")->of == "a1.png");
  CHECK(of.at("jpeg.jpg")->distance >= 0);
  CHECK(of.at("jpeg.jpg")->other_labels);  // a1 has a dog as well
  CHECK(of.at("large.jpg")->of == "a2.png");
  CHECK_FALSE(of.at("large.jpg")->other_labels);
  CHECK(of.contains("other-small.jpg") != of.contains("other.jpg"));  // within one folder as well
  // A limit below 0 takes copies.
  CHECK(io::add_photos(store, "pets", folder / "again", {.near_limit = -1}).change.photos == 3);
  // Nothing new is no change.
  const auto before = content_of(folder / "data");
  CHECK(io::add_photos(store, "pets", folder / "in", {}).change.photos == 0);
  CHECK(content_of(folder / "data") == before);
}

TEST_CASE("store add: photos of one scene from one place are not taken for copies") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 1);
  io::Image scene = waves(7, 340, 320);
  io::write_image(folder / "in/images/a0.png", scene);
  const io::Store store = new_store(folder / "data", "pets");
  io::add_photos(store, "pets", folder / "in", {});
  const io::NearHash before = io::near_hash(scene);
  for (int y = 100; y < 112; ++y)  // something small was put there: 12x12 pixels a little darker
    for (int x = 60; x < 72; ++x)
      for (int c = 0; c < 3; ++c) {
        std::uint8_t& value = scene.pixels[(static_cast<std::size_t>(y) * scene.width + x) * 3 + c];
        value = static_cast<std::uint8_t>(value - 4);
      }
  REQUIRE(io::distance(io::near_hash(scene), before) <= io::kNearLimit);
  put_yolo(folder / "more", 1, 1, "b");
  io::write_image(folder / "more/images/b0.png", scene);
  CHECK(io::add_photos(store, "pets", folder / "more", {}).change.photos == 1);
}

TEST_CASE("store add: pictures without anything on them are told apart by their bytes") {
  const TempFolder folder;
  put(folder / "in/classes.txt", "cat\n");
  for (int i = 0; i < 3; ++i) {
    put_photo(folder / "in/images" / ("p" + std::to_string(i) + ".bmp"), 20, 10, 40 * i);
    put(folder / "in/labels" / ("p" + std::to_string(i) + ".txt"), "0 .5 .5 .5 .5\n");
  }
  const io::Store store = new_store(folder / "data", "pets");
  CHECK(io::add_photos(store, "pets", folder / "in", {}).change.photos == 3);
}

TEST_CASE("store add: relabelling takes the labels of photos that are there") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 3);
  const io::Store store = new_store(folder / "data", "pets");
  io::add_photos(store, "pets", folder / "in", {});
  put(folder / "in/labels/a2.txt", "1 0.5 0.5 0.25 0.25\n");
  io::AddReport report = io::add_photos(store, "pets", folder / "in", {});
  CHECK(report.change.relabelled == 0);
  CHECK(store.read_set("pets").photos[2].boxes[0].cls == 0);
  report = io::add_photos(store, "pets", folder / "in", {.relabel = true});
  CHECK(report.change.relabelled == 1);
  CHECK(report.change.photos == 0);
  CHECK(store.read_set("pets").photos[2].boxes[0].cls == 1);
  CHECK(store.read_set("pets").changes.size() == 2);
}

TEST_CASE("store add: the folder's own splits, or by content: the same in any order and company") {
  const TempFolder folder;
  const io::Store store = new_store(folder / "data", "pets");
  put_yolo(folder / "own/train", 1, 3, "t");
  put_yolo(folder / "own/valid", 11, 2, "v");
  put(folder / "own/classes.txt", "cat\ndog\n");
  const io::AddReport report = io::add_photos(store, "pets", folder / "own", {});
  CHECK(report.own_splits);
  auto splits = splits_of(store, "pets");
  CHECK(splits.at("t0.png") == "train");
  CHECK(splits.at("v1.png") == "valid");

  put_yolo(folder / "flat", 100, 60, "f");
  CHECK_FALSE(io::add_photos(store, "pets", folder / "flat", {}).own_splits);
  splits = splits_of(store, "pets");
  std::map<std::string, int> count;
  for (const auto& [name, split] : splits)
    if (name[0] == 'f') ++count[split];
  CHECK(count["train"] > 30);
  CHECK(count["valid"] > 3);
  CHECK(count["test"] > 0);
  CHECK(count["train"] + count["valid"] + count["test"] == 60);
  // One photo alone, in another data set of another store, comes to the same split.
  for (const int i : {0, 17, 59}) {
    const std::string stem = "f" + std::to_string(i), number = std::to_string(i);
    put(folder / ("one" + number) / "classes.txt", "cat\ndog\n");
    fs::create_directories(folder / ("one" + number) / "images");
    fs::copy_file(folder / "flat/images" / (stem + ".png"), folder / ("one" + number) / "images" / (stem + ".png"));
    put(folder / ("one" + number) / "labels" / (stem + ".txt"), "0 .5 .5 .1 .1\n");
    const io::Store other = new_store(folder / ("data" + number), "pets");
    io::add_photos(other, "pets", folder / ("one" + number), {.split = "auto"});
    CHECK(splits_of(other, "pets").at(stem + ".png") == splits.at(stem + ".png"));
  }
  // Shares and a named split.
  const io::Store third = new_store(folder / "data-third", "pets");
  io::add_photos(third, "pets", folder / "flat", {.shares = {0, 0, 1}});
  for (const auto& [name, split] : splits_of(third, "pets")) CHECK(split == "test");
  io::add_photos(third, "pets", folder / "own", {.split = "valid"});
  CHECK(splits_of(third, "pets").at("t0.png") == "valid");
}

TEST_CASE("store add: only the named photos of train, valid whole") {
  const TempFolder folder;
  const io::Store store = new_store(folder / "data", "pets");
  put_yolo(folder / "own/train", 1, 5, "t");
  put_yolo(folder / "own/valid", 11, 2, "v");
  const fs::path list = put(folder / "list.txt", "t1\nt3.png\n");
  io::add_photos(store, "pets", folder / "own", {.only = list});
  auto splits = splits_of(store, "pets");
  CHECK(splits.size() == 4);
  CHECK((splits.contains("t1.png") && splits.contains("t3.png") && splits.contains("v0.png")));
  put(folder / "list.txt", "t1\nt9\n");
  CHECK(add_error(store, folder / "own", {.only = list}).find("'t9'") != std::string::npos);
}

TEST_CASE("store add: classes go by name; a new one has to be asked for") {
  const TempFolder folder;
  const io::Store store = new_store(folder / "data", "pets");
  put_yolo(folder / "first", 1, 4);
  io::add_photos(store, "pets", folder / "first", {});
  put_yolo(folder / "second", 50, 2, "b");
  put(folder / "second/classes.txt", "dog\ncow\n");
  put(folder / "second/labels/b1.txt", "1 .5 .5 .5 .5\n");
  const auto before = content_of(folder / "data");
  const std::string error = add_error(store, folder / "second");
  CHECK(error.find("class 'cow' is not among the 2 of pets") != std::string::npos);
  CHECK(error.find("--merge cow=") != std::string::npos);
  CHECK(content_of(folder / "data") == before);
  const io::AddReport report = io::add_photos(store, "pets", folder / "second", {.new_classes = true});
  CHECK(report.new_classes == std::vector<std::string>{"cow"});
  const io::StoredSet set = store.read_set("pets");
  CHECK(set.classes == std::vector<std::string>{"cat", "dog", "cow"});
  CHECK(set.photos[4].boxes[0].cls == 1);  // dog was 0 there
  CHECK(set.photos[5].boxes[0].cls == 2);
}

TEST_CASE("store add: photos are removed by name") {
  const TempFolder folder;
  const io::Store store = new_store(folder / "data", "pets");
  put_yolo(folder / "in", 1, 4);
  io::add_photos(store, "pets", folder / "in", {});
  const io::StoreChange change = io::remove_photos(store, "pets", {"a1.png"});
  CHECK(change.photos == 1);
  CHECK(change.boxes == 2);
  CHECK_FALSE(splits_of(store, "pets").contains("a1.png"));
  CHECK(error_of([&] {
          io::remove_photos(store, "pets", {"a0.png", "a1.png"});
        }).find("no photos are called 'a1.png'") != std::string::npos);
  CHECK(splits_of(store, "pets").contains("a0.png"));
  // It can come back.
  CHECK(io::add_photos(store, "pets", folder / "in", {}).change.photos == 1);
}

TEST_CASE("store add: what cannot be, is said") {
  const TempFolder folder;
  put_yolo(folder / "in", 1, 2);
  const io::Store none(folder / "none");
  CHECK(add_error(none, folder / "in").find("has no data set pets; make it: rook data new pets") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "none"));
  io::Store store = new_store(folder / "data", "cats");
  CHECK(add_error(store, folder / "in").find("there are: cats") != std::string::npos);
  CHECK(error_of([&] { store.create("cats"); }).find("already") != std::string::npos);
}
