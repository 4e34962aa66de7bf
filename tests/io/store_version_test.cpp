// Versions: what they hold, that they never change, what differs between two of them.
#include <unistd.h>

#include <algorithm>

#include "io/atomic_file.h"
#include "io/content_hash.h"
#include "store_support.h"

using namespace rook;
using namespace rook::test;

namespace {

struct Pets {
  TempFolder folder;
  io::Store store = new_store(folder / "data", "pets");
  Pets() {
    put_yolo(folder / "in", 1, 4);
    io::add_photos(store, "pets", folder / "in", {.split = "train"});
  }
};

std::vector<std::string> names_of(const std::vector<io::PhotoChange>& photos) {
  std::vector<std::string> names;
  for (const io::PhotoChange& photo : photos) names.push_back(photo.name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("store version: photos are prepared, kept to the bit, and trained on by name") {
  const Pets pets;
  const io::StoredVersion version = io::make_version(pets.store, "pets", kHalf, half);
  CHECK(version.number == 1);
  const io::StoredVersion read = pets.store.read_version("pets", 1);
  CHECK(read.preparation == kHalf);
  REQUIRE(read.photos.size() == 4);
  const io::StoredSet set = pets.store.read_set("pets");
  for (std::size_t i = 0; i < 4; ++i) {
    const io::StoredPhoto& photo = read.photos[i];
    CHECK(photo.source == set.photos[i].hash);
    CHECK(photo.hash != photo.source);
    const io::Image picture = io::read_image(pets.store.object(photo));
    io::StoredPhoto labels;
    CHECK(picture.pixels == half(io::read_image(pets.store.object(set.photos[i])), labels).pixels);
    CHECK((photo.width == 34 && photo.height == 32));
  }
  const fs::path where = io::find_data("pets/v1", pets.folder / "data");
  CHECK(where == pets.folder / "data/pets/v1");
  CHECK(io::preparation_of(where) == kHalf);
  CHECK(io::preparation_of(where / "rook-data.json") == kHalf);
  CHECK(io::preparation_of(pets.folder / "data/pets").fit == "none");
  CHECK(io::preparation_of(pets.folder / "in").fit == "none");
  for (const fs::path& path : {where, where / "rook-data.json"}) {
    const io::Dataset dataset = io::read_dataset(path);
    CHECK(dataset.faults.empty());
    REQUIRE(dataset.splits[0].images.size() == 4);
    CHECK(dataset.splits[0].images[0].width == 34);
    CHECK(dataset.splits[0].images[3].name == "a3.png");
    CHECK(dataset.splits[0].images[3].boxes.size() == 2);
  }
}

TEST_CASE("store version: what `prepare` does to boxes is what the version has") {
  const Pets pets;
  const auto shift = [](const io::Image& photo, io::StoredPhoto& labels) {
    for (io::LabelBox& box : labels.boxes) box.x += 0.125f;
    return photo;
  };
  const io::StoredVersion version = io::make_version(
      pets.store, "pets", {.fit = "letterbox", .resampling = "area", .width = 68, .height = 64}, shift);
  CHECK(version.photos[0].boxes[0].x == 0.625f);
  CHECK(pets.store.read_set("pets").photos[0].boxes[0].x == 0.5f);
}

TEST_CASE("store version: without a size it names the photos themselves") {
  const Pets pets;
  const auto before = content_of(pets.folder / "data/objects");
  const io::StoredVersion version = io::make_version(pets.store, "pets", {}, {});
  CHECK(content_of(pets.folder / "data/objects") == before);
  CHECK(version.photos[0].hash == version.photos[0].source);
  CHECK(io::read_dataset(pets.folder / "data/pets/v1").splits[0].images.size() == 4);
}

TEST_CASE("store version: a version is never changed") {
  const Pets pets;
  io::make_version(pets.store, "pets", kHalf, half);
  const fs::path manifest = pets.folder / "data/pets/v1/rook-data.json";
  const ByteVector before = load(manifest);
  CHECK((fs::status(manifest).permissions() & fs::perms::owner_write) == fs::perms::none);
  io::StoredVersion again = pets.store.read_version("pets", 1);
  CHECK(error_of([&] { pets.store.write(again); }).find("versions are never changed") != std::string::npos);
  put_yolo(pets.folder / "more", 50, 2, "b");
  io::add_photos(pets.store, "pets", pets.folder / "more", {});
  io::remove_photos(pets.store, "pets", {"a0.png"});
  CHECK(io::make_version(pets.store, "pets", kHalf, half).number == 2);
  CHECK(load(manifest) == before);
  CHECK(pets.store.versions("pets") == std::vector<int>{1, 2});
  CHECK(io::read_dataset(pets.folder / "data/pets/v1").splits[0].images.size() == 4);
  CHECK(io::verify(pets.store).empty());
}

TEST_CASE("store version: the same photos prepared alike are the same objects") {
  const Pets pets;
  io::make_version(pets.store, "pets", kHalf, half);
  const auto before = content_of(pets.folder / "data/objects");
  io::make_version(pets.store, "pets", kHalf, half);
  CHECK(content_of(pets.folder / "data/objects") == before);
}

TEST_CASE("store version: a damaged photo is found, and makes no version") {
  const Pets pets;
  const fs::path object = pets.store.object(pets.store.read_set("pets").photos[2]);
  const ByteVector whole = load(object);
  fs::permissions(object, fs::perms::owner_write, fs::perm_options::add);
  save(object, std::span(whole).first(whole.size() / 2));
  REQUIRE(io::verify(pets.store).size() == 1);
  CHECK(io::verify(pets.store)[0].find("a2.png") != std::string::npos);
  CHECK(error_of([&] { io::make_version(pets.store, "pets", kHalf, half); }).find(object.filename().string()) !=
        std::string::npos);
  CHECK(pets.store.versions("pets").empty());
  fs::remove(object);
  CHECK(io::verify(pets.store)[0].find("is missing") != std::string::npos);
  // Adding the folder again says that it is there; the photo that was lost is no new one.
  save(object, whole);
  CHECK(io::verify(pets.store).empty());
}

TEST_CASE("store diff: photos added, removed, relabelled, boxes by class") {
  const Pets pets;
  const io::StoredVersion v1 = io::make_version(pets.store, "pets", kHalf, half);
  put_yolo(pets.folder / "more", 50, 2, "b");
  io::add_photos(pets.store, "pets", pets.folder / "more", {.split = "valid"});
  io::remove_photos(pets.store, "pets", {"a0.png"});
  put(pets.folder / "in/labels/a2.txt", "1 0.5 0.5 0.25 0.25\n");
  fs::remove(pets.folder / "in/images/a0.png");
  fs::remove(pets.folder / "in/labels/a0.txt");
  io::add_photos(pets.store, "pets", pets.folder / "in", {.relabel = true});
  const io::StoredVersion v2 = io::make_version(pets.store, "pets", {}, {});

  const io::VersionDiff diff = io::diff_versions(v1, v2);
  CHECK(names_of(diff.added) == Names{"b0.png", "b1.png"});
  CHECK(diff.added[0].split == "valid");
  CHECK(names_of(diff.removed) == Names{"a0.png"});
  CHECK(names_of(diff.relabelled) == Names{"a2.png"});
  CHECK(diff.moved.empty());
  REQUIRE(diff.classes.size() == 2);
  CHECK((diff.classes[0].name == "cat" && diff.classes[0].before == 4 && diff.classes[0].after == 4));
  CHECK((diff.classes[1].name == "dog" && diff.classes[1].before == 2 && diff.classes[1].after == 4));
  const io::VersionDiff back = io::diff_versions(v2, v1);
  CHECK(names_of(back.removed) == Names{"b0.png", "b1.png"});
  CHECK(names_of(back.added) == Names{"a0.png"});
  const io::VersionDiff same = io::diff_versions(v2, io::as_version(pets.store.read_set("pets")));
  CHECK((same.added.empty() && same.removed.empty() && same.relabelled.empty() && same.moved.empty()));
}

TEST_CASE("store: crowds and difficult objects are kept, in versions too, and changes of them are relabellings") {
  const TempFolder folder;
  const io::Store store = new_store(folder / "data", "pets");
  put_scene(folder / "in/a.png", 1);
  const auto label = [&](int crowd) {
    put(folder / "in/_annotations.coco.json",
        R"({"images": [{"id": 1, "file_name": "a.png", "width": 68, "height": 64}],
"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [17, 16, 34, 32], "iscrowd": 0},
{"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 17, 64], "iscrowd": )" +
            std::to_string(crowd) + "}]}");
  };
  label(1);
  io::add_photos(store, "pets", folder / "in", {.split = "train"});
  const io::StoredVersion crowded = io::make_version(store, "pets", kHalf, half);
  CHECK(store.read_set("pets").classes == std::vector<std::string>{"cat", "dog"});
  const std::vector<io::IgnoredRegion> want = {{0.125f, 0.5f, 0.25f, 1, 1, true}};
  for (const char* where : {"data/pets", "data/pets/v1"}) {
    const io::Dataset dataset = io::read_dataset(folder / where);
    CHECK(dataset.classes == std::vector<std::string>{"cat", "dog"});
    CHECK(dataset.splits[0].images[0].ignored == want);
    CHECK(dataset.splits[0].images[0].boxes.size() == 1);
  }
  // Also where the class has no box and unused ones are left out, as `rook data add` does.
  const io::Store used = new_store(folder / "used", "pets");
  io::add_photos(used, "pets", folder / "in", {.split = "train", .reading = {.drop_unused_classes = true}});
  CHECK(used.read_set("pets").classes == std::vector<std::string>{"cat", "dog"});
  CHECK(used.read_set("pets").photos[0].ignored == want);
  label(0);
  CHECK(io::add_photos(store, "pets", folder / "in", {.split = "train", .relabel = true}).change.relabelled == 1);
  CHECK(store.read_set("pets").photos[0].ignored.empty());
  const io::VersionDiff diff = io::diff_versions(crowded, io::make_version(store, "pets", kHalf, half));
  CHECK(names_of(diff.relabelled) == Names{"a.png"});
}

TEST_CASE("store names: a path goes before a name; what is neither is said") {
  const Pets pets;
  const fs::path store = pets.folder / "data";
  CHECK(io::find_data((pets.folder / "in").string(), store) == pets.folder / "in");
  CHECK(io::find_data("pets", store) == store / "pets");
  const auto error = [&](const std::string& name) { return error_of([&] { io::find_data(name, store); }); };
  CHECK(error("pets/v1").find("pets: has no versions yet; make one: rook data version pets") != std::string::npos);
  CHECK(error("dogs/v1").find("has no data set dogs; there are: pets") != std::string::npos);
  CHECK(error("/no/such").find("no such folder or file") != std::string::npos);
  CHECK(error_of([&] { io::find_data("pets", pets.folder / "nowhere"); }).find("holds no data sets") !=
        std::string::npos);
  io::make_version(pets.store, "pets", {}, {});
  CHECK(error("pets/v3").find("has no version v3; there are: v1") != std::string::npos);
  // A folder that is no data set, and a version that was not finished, are not there.
  fs::create_directories(store / "other/v1");
  fs::create_directories(store / "pets/v2");
  CHECK(pets.store.names() == Names{"pets"});
  CHECK(pets.store.versions("pets") == std::vector<int>{1});
  CHECK(io::make_version(pets.store, "pets", {}, {}).number == 2);
}

TEST_CASE("store lock: one process at a time, and what a killed one left is swept") {
  const Pets pets;
  {
    const io::StoreLock lock(pets.store);
    const std::string message = error_of([&] { io::make_version(pets.store, "pets", kHalf, half); });
    CHECK(message.find("is changing the store; try again when it is done") != std::string::npos);
    CHECK(message.find("process " + std::to_string(getpid())) != std::string::npos);
    CHECK(error_of([&] { io::remove_photos(pets.store, "pets", {"a0.png"}); }).find("is changing") !=
          std::string::npos);
    CHECK(error_of([&] { io::add_photos(pets.store, "pets", pets.folder / "in", {}); }).find("is changing") !=
          std::string::npos);
    CHECK(pets.store.read_set("pets").photos.size() == 4);  // reading is always possible
  }
  const fs::path left = put(pets.folder / "data/objects/ab/.rook-1-1.tmp", "half");
  CHECK(io::make_version(pets.store, "pets", kHalf, half).number == 1);
  CHECK_FALSE(fs::exists(left));
}
