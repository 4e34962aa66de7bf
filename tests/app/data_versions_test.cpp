// Data sets with versions as a user has them: rook data new, add, version, show, diff, export; training by name; killed
// at any moment; two at a time.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/store.h"
#include "tests/app/cli_support.h"
#include "tests/io/store_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// A store with the photos of write_photo_data as data set `pets`.
struct Pets {
  TempFolder folder;
  std::string store = (folder / "data").string(), photos = (folder / "photos").string();
  Pets() {
    write_photo_data(photos);
    output_of({"data", "new", "pets", "--store", store});
  }
  Words words(const Words& arguments) const {
    Words all{"data"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    all.insert(all.end(), {"--store", store});
    return all;
  }
  std::string data(const Words& arguments) const { return output_of(words(arguments)); }
};

// The store can be read, and each photo it names is there.
void check_valid(const fs::path& root) {
  const io::Store store(root);
  CHECK(io::verify(store).empty());
  for (const std::string& name : store.names()) {
    const io::StoredSet set = store.read_set(name);
    if (!set.photos.empty()) CHECK(io::read_dataset(store.folder_of(name)).faults.empty());
  }
}

}  // namespace

TEST_CASE(
    "rook data add: one broken photo and one unknown class: nothing added, both named with their line, status 1") {
  const Pets pets;
  pets.data({"add", "pets", pets.photos});
  const auto before = content_of(pets.store);
  const fs::path more = pets.folder / "more";
  put_yolo(more, 500, 5);
  put(more / "labels/a1.txt", "0 0.5 0.5 0.25 0.25\n9 0.5 0.5 0.25 0.25\n");
  const ByteVector whole = load(more / "images/a3.png");
  save(more / "images/a3.png", std::span(whole).first(whole.size() / 2));
  const Output output = run_program(pets.words({"add", "pets", more.string(), "--new-classes"}));
  CHECK(output.status == 1);
  CHECK(shows(output.out, (more / "labels/a1.txt").string() + ":2: unknown_class: class 9, but there are 2 classes"));
  CHECK(shows(output.out, (more / "images/a3.png").string() + ":0: unreadable_image: "));
  CHECK(shows(output.err, "nothing was added to pets: 2 faults to mend first"));
  CHECK(content_of(pets.store) == before);
  CHECK(shows(pets.data({"add", "pets", more.string(), "--new-classes", "--skip-faulty"}),
              "pets: 4 photos with 4 boxes added"));
}

TEST_CASE("rook data: the story of a data set") {
  const Pets pets;
  const std::string added = pets.data({"add", "pets", pets.photos});
  CHECK(shows(added, "pets: 22 photos with "));
  CHECK(shows(added, "(train 12, valid 6, test 4; the folder's own splits)"));
  CHECK(shows(pets.data({"version", "pets", "--resize", "32x32", "--stretch"}),
              "pets/v1: 22 photos (train 12, valid 6, test 4)"));
  CHECK(shows(pets.data({"add", "pets", pets.photos}), "pets: 0 photos with 0 boxes added; 22 were there already"));
  const fs::path more = pets.folder / "more";
  write_photos(more / "images", 3, 64, 77);
  for (int i = 0; i < 3; ++i) put(more / "labels" / ("photo-" + std::to_string(i) + ".txt"), "1 0.5 0.5 0.25 0.25\n");
  put(more / "classes.txt", "red\nverdant\nblue\n");
  const Output refused = run_program(pets.words({"add", "pets", more.string()}));
  CHECK(refused.status == 1);
  CHECK(shows(refused.err, "class 'verdant' is not among the 3 of pets"));
  CHECK(shows(pets.data({"add", "pets", more.string(), "--merge", "verdant=green", "--split", "train"}),
              "pets: 3 photos with 3 boxes added (train 3; as asked for)"));
  CHECK(shows(pets.data({"version", "pets", "--resize", "48x32", "--letterbox"}), "letterbox to 48x32, area"));

  const nlohmann::json diff = json_of(pets.words({"diff", "pets/v1", "v2"}));
  CHECK(diff["added"].size() == 3);
  CHECK(diff["removed"].empty());
  CHECK(diff["relabelled"].empty());
  CHECK(diff["boxes"]["green"]["after"].get<int>() - diff["boxes"]["green"]["before"].get<int>() == 3);
  CHECK(shows(pets.data({"diff", "pets/v1", "pets"}), "3 photos added\n  train: photo-0.png"));

  const nlohmann::json show = json_of(pets.words({"show", "pets"}));
  CHECK(show["census"]["images"] == 25);
  REQUIRE(show["changes"].size() == 2);
  CHECK(show["changes"][1]["merge"][0] == "verdant=green");
  REQUIRE(show["versions"].size() == 2);
  CHECK(show["versions"][0]["photos"] == 22);
  CHECK(shows(pets.data({"show", "pets"}), "history\n"));
  CHECK(json_of(pets.words({"show", "pets/v1"}))["census"]["image_sizes"][0]["width"] == 32);
  CHECK(shows(pets.data({"list"}), "pets: 25 photos"));
  CHECK(json_of(pets.words({"list"}))[0]["versions"] == nlohmann::json({1, 2}));
  CHECK(shows(pets.data({"verify"}), "every photo of every data set and version is there"));
  // Four photos are called photo-0.png: one is named by its hash.
  CHECK(run_program(pets.words({"remove", "pets", "photo-0.png"})).status == 1);
  const std::string hash = io::Store(pets.store).read_set("pets").photos[0].hash;
  CHECK(shows(pets.data({"remove", "pets", hash}), "pets: 1 photos with"));
  CHECK(json_of(pets.words({"show", "pets"}))["census"]["images"] == 24);
  CHECK(json_of(pets.words({"show", "pets/v2"}))["census"]["images"] == 25);
}

TEST_CASE("rook data export: every format holds the version; the store does not change with it") {
  const Pets pets;
  pets.data({"add", "pets", pets.photos});
  pets.data({"version", "pets", "--resize", "32x32"});
  const auto before = content_of(pets.store);
  const io::Dataset version = io::read_dataset(pets.store + "/pets/v1");
  for (const char* format : {"coco", "yolo", "voc", "darknet"}) {
    const fs::path out = pets.folder / format;
    pets.data({"export", "pets/v1", out.string(), "--format", format});
    const io::Dataset read = io::read_dataset(out);
    CHECK(read.faults.empty());
    CHECK(read.classes.size() == 3);
    REQUIRE(read.splits.size() == 3);
    for (std::size_t s = 0; s < 3; ++s) {
      REQUIRE(read.splits[s].images.size() == version.splits[s].images.size());
      for (const io::LabelledImage& image : read.splits[s].images) {
        const auto same = std::find_if(version.splits[s].images.begin(), version.splits[s].images.end(),
                                       [&](const io::LabelledImage& other) { return other.name == image.name; });
        REQUIRE(same != version.splits[s].images.end());
        CHECK(load(image.file) == load(same->file));
        CHECK(image.boxes.size() == same->boxes.size());
        save(image.file, ByteVector{1, 2, 3});  // somebody edits what was exported
      }
    }
    CHECK(run_program(pets.words({"export", "pets/v1", out.string()})).status == 1);
  }
  CHECK(content_of(pets.store) == before);
}

TEST_CASE("rook train and eval: a version by name; training on it is training on the photos, to the bit") {
  const Pets pets;
  pets.data({"add", "pets", pets.photos});
  pets.data({"version", "pets", "--resize", "64x64", "--stretch"});
  const fs::path run = pets.folder / "run", plain = pets.folder / "plain";
  Words words = train_words("pets/v1", run, "1");
  words.insert(words.end(), {"--store", pets.store});
  CHECK_FALSE(shows(output_of(words), "resized a second time"));
  output_of(train_words(pets.photos, plain, "1"));
  const nlohmann::json config = nlohmann::json::parse(text_of(run / "config.json"));
  CHECK(fs::equivalent(config["data"].get<std::string>(), fs::path(pets.store) / "pets/v1"));
  const auto losses = [](const fs::path& folder) {
    std::vector<std::string> lines;
    std::istringstream text(text_of(folder / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      const nlohmann::json entry = nlohmann::json::parse(line);
      if (entry["type"] == "train") lines.push_back(entry["loss"].dump());
      if (entry["type"] == "eval") lines.push_back(entry["map50_95"].dump());
    }
    return lines;
  };
  REQUIRE(losses(run).size() > 3);
  CHECK(losses(run) == losses(plain));
  CHECK(
      shows(output_of({"eval", "--model", run.string(), "--data", "pets/v1", "--store", pets.store, "--split", "test"}),
            "4 photos in"));
  // By the variable, and by the folder itself.
  const TempFolder elsewhere;
  Child child(elsewhere / ".", command_of({"eval", "--model", run.string(), "--data", "pets/v1"}),
              {"ROOK_DATA=" + pets.store, kQuietThreads[0]});
  CHECK(child.wait() == 0);
  output_of({"eval", "--model", run.string(), "--data", pets.store + "/pets/v1"});
  CHECK(shows(output_of({"runs", run.string()}), "pets/v1"));
}

TEST_CASE("rook data: a crowd moves with its photo into a version, and out of files that have no place for it") {
  const Pets pets;
  put_scene(pets.folder / "in/a.png", 1, 128, 64);
  put(pets.folder / "in/_annotations.coco.json",
      R"({"images": [{"id": 1, "file_name": "a.png", "width": 128, "height": 64}],
"categories": [{"id": 1, "name": "cat"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 128, 32], "iscrowd": 1},
{"id": 2, "image_id": 1, "category_id": 1, "bbox": [32, 32, 32, 16], "iscrowd": 0}]})");
  pets.data({"new", "herd"});
  pets.data({"add", "herd", (pets.folder / "in").string()});
  pets.data({"version", "herd", "--resize", "64x64", "--letterbox"});
  const std::vector<io::IgnoredRegion> want = {{0.5f, 0.375f, 1, 0.25f, 0, true}};
  CHECK(io::read_dataset(pets.store + "/herd/v1").splits[0].images[0].ignored == want);
  const std::string coco = (pets.folder / "coco").string(), yolo = (pets.folder / "yolo").string();
  CHECK(!shows(pets.data({"export", "herd/v1", coco}), "ignored"));
  CHECK(io::read_dataset(coco).splits[0].images[0].ignored == want);
  CHECK(shows(output_of({"data", "check", pets.store + "/herd/v1"}), "ignored_region: 1 crowds"));
  CHECK(shows(output_of({"data", "convert", coco, yolo, "--format", "yolo"}),
              "; 1 ignored region (crowds, difficult objects) left out: yolo has no place for them"));
}

TEST_CASE("rook train: a letterboxed version makes a model that letterboxes") {
  const Pets pets;
  const fs::path wide = pets.folder / "wide";
  put_yolo(wide / "train", 1, 8);
  put_yolo(wide / "valid", 50, 2, "v");
  unsigned seed = 900;
  for (const char* part : {"train", "valid"})
    for (const auto& entry : fs::directory_iterator(wide / part / "images"))
      io::write_image(entry.path(), scene(++seed, 128, 64));
  put(wide / "classes.txt", "cat\ndog\n");
  pets.data({"new", "wide"});
  pets.data({"add", "wide", wide.string()});
  pets.data({"version", "wide", "--resize", "64x64", "--letterbox"});
  const io::Dataset version = io::read_dataset(pets.store + "/wide/v1");
  const io::LabelledImage& image = version.splits[0].images[0];
  REQUIRE(!image.boxes.empty());
  CHECK(same_box(image.boxes[0], 0, .5, .5, .25, .125));  // half of the height is grey
  const io::Image picture = io::read_image(image.file);
  CHECK(picture.pixels[0] == 128);
  CHECK(picture.pixels[picture.pixels.size() - 1] == 128);
  const fs::path run = pets.folder / "run";
  Words words = train_words("wide/v1", run, "16");
  words.insert(words.end(), {"--store", pets.store});
  output_of(words);
  const nlohmann::json config = nlohmann::json::parse(text_of(run / "config.json"));
  CHECK(config["train"]["fit"] == "letterbox");
  // Of the version's own photos, which are square, and of the originals.
  const auto figures = [&](const Words& data) {
    Words eval{"eval", "--model", run.string(), "--store", pets.store};
    eval.insert(eval.end(), data.begin(), data.end());
    return json_of(eval);
  };
  const nlohmann::json prepared = figures({"--data", "wide/v1"}), original = figures({"--data", "wide"});
  CHECK(shows(prepared["preprocess"].get<std::string>(), "letterbox, area to 64x64"));
  CHECK(prepared["boxes"] == original["boxes"]);
  // What is found on a photo of the version is found at the same place of the original.
  const auto found = [&](const fs::path& photo) {
    return json_of({"detect", "--model", run.string(), photo.string(), "--conf", "0.0001"})[0]["detections"];
  };
  const nlohmann::json small = found(image.file),
                       large = found(io::read_dataset(pets.store + "/wide").splits[0].images[0].file);
  REQUIRE(!small.empty());
  const auto& box = small[0]["box"];
  // The grey above and below is no part of the original: what reaches into it is cut at the photo's edge.
  const auto row_of = [](double y) { return std::clamp(2 * (y - 16), 0.0, 64.0); };
  const double top = row_of(box[1].get<double>()), bottom = row_of(box[1].get<double>() + box[3].get<double>());
  const bool same_place = std::any_of(large.begin(), large.end(), [&](const nlohmann::json& other) {
    const auto near = [](const nlohmann::json& a, double b) { return std::abs(a.get<double>() - b) < 0.5; };
    const auto& to = other["box"];
    return near(to[0], 2 * box[0].get<double>()) && near(to[1], top) && near(to[2], 2 * box[2].get<double>()) &&
           near(to[3], bottom - top);
  });
  CHECK_MESSAGE(same_place, small.dump(), " and ", large.dump());
  words = train_words("wide/v1", pets.folder / "other", "1");
  std::replace(words.begin(), words.end(), std::string("64"), std::string("96"));
  words.insert(words.end(), {"--store", pets.store, "--dry-run"});
  CHECK(
      shows(output_of(words), "wide/v1 holds photos of 64x64, and the network takes 96x96: they are resized a second"));
}

TEST_CASE("rook data: killed at any moment, the store is as before or as after") {
  const Pets pets;
  const fs::path many = pets.folder / "many";
  for (int i = 0; i < 40; ++i) {
    const std::string stem = "m" + std::to_string(i);
    put_scene(many / "images" / (stem + ".png"), 1000 + static_cast<unsigned>(i), 340, 320);
    put(many / "labels" / (stem + ".txt"), "0 0.5 0.5 0.25 0.25\n");
  }
  put(many / "classes.txt", "red\ngreen\nblue\n");
  const auto timed = [&](const Words& words) {
    const auto start = std::chrono::steady_clock::now();
    output_of(words);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  pets.data({"new", "timing"});
  const double add_seconds = timed(pets.words({"add", "timing", many.string()}));
  const double version_seconds = timed(pets.words({"version", "timing", "--resize", "96x96"}));
  fs::remove_all(fs::path(pets.store) / "objects");
  fs::remove_all(fs::path(pets.store) / "timing");
  const io::Store store(pets.store);
  int killed = 0;
  constexpr int kRounds = kSanitized ? 8 : 24;
  const auto kill_after = [&](const Words& words, double seconds) {
    const TempFolder out;
    Child child(out / ".", command_of(words), kQuietThreads);
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    killed += child.end(SIGKILL) < 0;
    check_valid(pets.store);
  };
  for (int round = 0; round < kRounds; ++round) {
    kill_after(pets.words({"add", "pets", many.string()}), add_seconds * (round + 1) / kRounds);
    const std::size_t photos = store.read_set("pets").photos.size();
    CHECK((photos == 0 || photos == 40));
    if (photos == 40) fs::remove_all(fs::path(pets.store) / "pets"), pets.data({"new", "pets"});
  }
  pets.data({"add", "pets", many.string()});
  CHECK(store.read_set("pets").photos.size() == 40);
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t before = store.versions("pets").size();
    kill_after(pets.words({"version", "pets", "--resize", fmt::format("{}x96", 96 + round)}),
               version_seconds * (round + 1) / kRounds);
    const std::size_t after = store.versions("pets").size();
    CHECK((after == before || after == before + 1));
    for (const int number : store.versions("pets")) CHECK(store.read_version("pets", number).photos.size() == 40);
  }
  CHECK(killed >= kRounds);  // of both: some may have been done before
  pets.data({"version", "pets", "--resize", "64x64"});
  check_valid(pets.store);
  for (const auto& [file, bytes] : content_of(pets.store)) CHECK_FALSE(shows(file, ".tmp"));
}

TEST_CASE("rook data add: two at once: one waits its turn or is told, nothing is lost") {
  const Pets pets;
  std::vector<std::string> folders;
  for (int k = 0; k < 4; ++k) {
    const fs::path folder = pets.folder / ("part" + std::to_string(k));
    put_yolo(folder, 2000 + 100 * static_cast<unsigned>(k), 6, "p" + std::to_string(k) + "-");
    folders.push_back(folder.string());
  }
  const TempFolder out;
  std::vector<std::unique_ptr<Child>> children;
  for (int k = 0; k < 4; ++k) {
    fs::create_directories(out / std::to_string(k));
    children.push_back(std::make_unique<Child>(
        out / std::to_string(k), command_of(pets.words({"add", "pets", folders[static_cast<std::size_t>(k)]})),
        kQuietThreads));
  }
  int added = 0;
  for (const auto& child : children) {
    const int status = child->wait();
    if (status == 0) {
      ++added;
    } else {
      CHECK(status == 1);
      CHECK(shows(child->err(), "is changing the store; try again when it is done"));
    }
  }
  CHECK(added >= 1);
  CHECK(io::Store(pets.store).read_set("pets").photos.size() == 6u * static_cast<unsigned>(added));
  check_valid(pets.store);
  for (const std::string& folder : folders) pets.data({"add", "pets", folder});
  CHECK(io::Store(pets.store).read_set("pets").photos.size() == 24);
}

TEST_CASE("rook data: what is wrong is said in one line, and how it is called") {
  const Pets pets;
  const auto error = [&](const Words& words, int status = 1) {
    const Output output = run_program(pets.words(words));
    CHECK(output.status == status);
    if (status == 1) CHECK(std::count(output.err.begin(), output.err.end(), '\n') == 1);
    return output.err;
  };
  CHECK(shows(error({"new", "pets"}), "there is a data set pets already"));
  CHECK(shows(error({"new", "a/b"}), "is no name for a data set"));
  CHECK(shows(error({"add", "dogs", pets.photos}), "has no data set dogs; there are: pets"));
  CHECK(shows(error({"add", "pets", "/no/where"}), "/no/where: no such folder or file"));
  CHECK(shows(error({"add", "pets", pets.photos, "--shares", "70/20"}), "write TRAIN/VALID/TEST"));
  CHECK(shows(error({"version", "pets"}), "has no photos yet"));
  CHECK(shows(error({"version", "pets", "--letterbox"}), "say to which size"));
  CHECK(shows(error({"show", "pets/v7"}), "has no versions yet"));
  CHECK(shows(error({"version", "pets", "--resize", "32x32", "--stretch", "--letterbox"}, 2), "excludes"));
  CHECK(shows(pets.data({"show", "pets"}), "no photos yet; add some"));
  for (const char* command : {"new", "add", "version", "list", "show", "diff", "export", "remove", "verify"})
    CHECK(shows(output_of({"data", command, "--help"}), "Example"));
}
