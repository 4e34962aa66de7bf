// What the commands say and write: detect, eval, inspect, bench, weights, data.
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/class_names.h"
#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// An entry of detect's JSON: its fields, boxes on the photo, by falling score.
void check_detections(const nlohmann::json& entry, const std::vector<std::string>& classes) {
  REQUIRE(keys_of(entry) == Keys{"image", "width", "height", "ms", "detections"});
  CHECK(entry["width"].is_number_integer());
  CHECK(entry["height"].is_number_integer());
  CHECK(entry["ms"].get<double>() > 0);
  double score = 1;
  for (const nlohmann::json& found : entry["detections"]) {
    REQUIRE(keys_of(found) == Keys{"class", "class_id", "score", "box"});
    CHECK(found["class"] == classes.at(found["class_id"].get<std::size_t>()));
    CHECK(found["score"].get<double>() <= score);
    score = found["score"].get<double>();
    const auto box = found["box"].get<std::vector<double>>();
    REQUIRE(box.size() == 4);
    CHECK((box[0] >= 0 && box[1] >= 0 && box[2] >= 0 && box[3] >= 0));
    CHECK(box[0] + box[2] <= entry["width"].get<double>() + 1e-3);
    CHECK(box[1] + box[3] <= entry["height"].get<double>() + 1e-3);
  }
}

}  // namespace

TEST_CASE("rook detect: boxes as JSON and on pictures") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string();
  const fs::path photos = tiny_run().data / "test/images";
  const Words words{"detect", "--model", run, photos.string(), "--conf", "0.02", "--batch", "3"};
  const nlohmann::json json = json_of(words);
  REQUIRE(json.size() == 4);
  std::size_t found = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(json[i]["image"] == (photos / ("photo-" + std::to_string(i) + ".png")).string());
    CHECK((json[i]["width"] == 64 && json[i]["height"] == 64));
    check_detections(json[i], kPhotoClasses);
    found += json[i]["detections"].size();
  }
  CHECK(found > 0);

  Words more = words;
  more.insert(more.end(), {"--json", (folder / "boxes.json").string(), "--out", (folder / "drawn").string()});
  const std::string said = output_of(more);
  nlohmann::json written = nlohmann::json::parse(text_of(folder / "boxes.json"));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(written[i]["detections"] == json[i]["detections"]);
    const std::string name = "photo-" + std::to_string(i);
    CHECK(shows(said, name + ".png: 64x64, "));
    const io::Image drawn = io::read_image(folder / "drawn" / (name + ".jpg"));
    CHECK((drawn.width == 64 && drawn.height == 64));
  }
  more.emplace_back("--quiet");
  CHECK(output_of(more).empty());
}

TEST_CASE("rook detect: drawn copies keep clear of each other and of the photos") {
  const TempFolder folder;
  const ByteVector photo = load(tiny_run().data / "test/images/photo-0.png");
  fs::create_directories(folder / "a/b");
  for (const char* name : {"a/x.png", "a/b/x.png"}) save(folder / name, photo);
  append_text(folder / "a/notes.ppm", "no picture that rook reads");
  const auto detect = [&](const Words& more) {
    Words words{"detect", "--model", tiny_run().run.string(), "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words);
  };
  const std::string a = (folder / "a").string(), b = (folder / "a/b").string(), drawn = (folder / "drawn").string();
  CHECK(detect({a, b, "--out", drawn}).status == 0);
  for (const char* name : {"drawn/x.jpg", "drawn/x-2.jpg"}) CHECK(io::read_image(folder / name).width == 64);
  CHECK(detect({a, b, "--out", drawn}).status == 0);  // once more
  // Into the folder of the photos: only where nothing is written over.
  CHECK(detect({a, "--out", a}).status == 0);
  const ByteVector first = load(folder / "a/x.jpg");
  const Output refused = detect({a, "--out", a});
  CHECK(refused.status == 2);
  CHECK(shows(refused.err, "would be written over"));
  CHECK(load(folder / "a/x.jpg") == first);
  const Output none = detect({(folder / "drawn/none").string(), "--out", drawn});
  CHECK(none.status == 1);
}

TEST_CASE("rook detect: a photo whose name is not UTF-8") {
  const TempFolder folder;
  const fs::path photo = folder / "caf\xe9.png";
  save(photo, load(tiny_run().data / "test/images/photo-0.png"));
  const nlohmann::json json = json_of({"detect", "--model", tiny_run().run.string(), photo.string()});
  CHECK(json[0]["image"] == (folder / "caf\xef\xbf\xbd.png").string());
}

TEST_CASE("rook detect: the dog, the bicycle and the truck") {
  const fs::path folder = assets("real weights on real photos by the command line");
  if (folder.empty()) return;
  const std::string name = "yolo-fastest-1.1-xl-coco";
  const std::string model =
      (folder / "cfg" / (name + ".cfg")).string() + ":" + (folder / "weights" / (name + ".weights")).string();
  const std::string names = (folder / "cfg/coco.names").string();
  const nlohmann::json json =
      json_of({"detect", "--model", model, "--names", names, (folder / "images/dog.jpg").string()});
  REQUIRE(json.size() == 1);
  check_detections(json[0], io::read_class_names(names));
  CHECK((json[0]["width"] == 768 && json[0]["height"] == 576));
  std::set<std::string> classes;
  for (const nlohmann::json& found : json[0]["detections"]) classes.insert(found["class"].get<std::string>());
  CHECK(classes.contains("dog"));
  CHECK(classes.contains("bicycle"));
}

TEST_CASE("rook eval: fields") {
  const std::string data = tiny_run().data.string(), run = tiny_run().run.string();
  const nlohmann::json json = json_of({"eval", "--model", run, "--data", data, "--split", "test", "--batch", "4"});
  REQUIRE(keys_of(json) == Keys{"images", "boxes", "map50", "map50_95", "darknet_map50", "conf", "precision", "recall",
                                "f1", "best_f1", "per_class", "preprocess"});
  CHECK(json["images"] == 4);
  CHECK(json["conf"] == 0.25);
  CHECK(keys_of(json["best_f1"]) == Keys{"conf", "precision", "recall", "f1"});
  CHECK(keys_of(json["per_class"]) == Keys(kPhotoClasses.begin(), kPhotoClasses.end()));
  int boxes = 0;
  for (const auto& [name, values] : json["per_class"].items()) {
    CHECK(keys_of(values) == Keys{"ap50", "ap50_95", "boxes"});
    boxes += values["boxes"].get<int>();
  }
  CHECK(json["boxes"] == boxes);
  for (const char* key : {"map50", "map50_95", "darknet_map50", "precision", "recall", "f1"})
    CHECK((json[key] >= 0 && json[key] <= 1));
  CHECK(shows(json["preprocess"].get<std::string>(), "to 64x64"));
  // On the photos it was trained with and at that size it is what the training said.
  const nlohmann::json same =
      json_of({"eval", "--model", run, "--data", data, "--split", "valid", "--size", "64", "--batch", "6"});
  const std::string metrics = text_of(tiny_run().run / "metrics.jsonl");
  double best = 0;
  for (std::size_t at = 0; at < metrics.size(); at = metrics.find('\n', at) + 1) {
    const nlohmann::json line = nlohmann::json::parse(metrics.substr(at, metrics.find('\n', at) - at));
    if (line["type"] == "eval") best = std::max(best, line["map50"].get<double>());
  }
  CHECK(std::abs(same["map50"].get<double>() - best) <= 1e-6);
}

TEST_CASE("rook eval: classes count that are in the split evaluated") {
  const TempFolder folder;
  const fs::path data = folder / "set";
  for (const char* split : {"train", "test"}) {
    write_photos(data / split / "images", 2, 64);
    for (const char* photo : {"photo-0.txt", "photo-1.txt"}) {
      fs::create_directories(data / split / "labels");
      append_text(data / split / "labels" / photo, "0 0.5 0.5 0.2 0.2\n");
    }
  }
  append_text(data / "train/labels/photo-1.txt", "1 0.5 0.5 0.2 0.3\n");
  append_text(data / "data.yaml", "train: train/images\ntest: test/images\nnames: [red, bird]\n");
  const Words eval{"eval", "--model", tiny_run().run.string(), "--data", data.string(), "--split"};
  const auto with = [&](const char* split) {
    Words words = eval;
    words.push_back(split);
    return words;
  };
  CHECK(shows(output_of(with("test")), "2 photos in"));
  CHECK(shows(run_program(with("train")).err, "class 'bird' is not known to the model"));
  CHECK(shows(run_program(with("valid")).err, "has no split 'valid'; there are: train, test"));
}

TEST_CASE("rook inspect: fields") {
  const nlohmann::json inside = json_of({"inspect", "--model", "rook-nano", "--size", "64", "--runs", "1"});
  CHECK(keys_of(inside) == Keys{"network", "width", "height", "classes", "layers", "parameters", "floats", "bflops",
                                "ms", "activation_bytes", "workspace_bytes", "weight_bytes"});
  CHECK(inside["floats"] == 239894);
  CHECK(keys_of(inside["layers"][0]) ==
        Keys{"layer", "type", "inputs", "output", "parameters", "bflops", "bytes", "ms", "receptive_field", "stride"});
  CHECK(inside["layers"][0]["output"] == nlohmann::json{32, 32, 16});
  CHECK(inside["layers"][0]["receptive_field"] == nlohmann::json{3, 3});
}

TEST_CASE("rook weights: to darknet's form and back, byte for byte") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string();
  const auto at = [&](const char* name) { return (folder / name).string(); };
  const nlohmann::json info = json_of({"weights", "info", run});
  CHECK(keys_of(info) == Keys{"model", "network", "classes", "parameters", "trainable", "note", "arrays"});
  CHECK(keys_of(info["arrays"][0]) == Keys{"name", "shape", "count", "min", "max", "mean"});
  CHECK(info["classes"] == kPhotoClasses);

  output_of({"weights", "convert", run, at("a.weights")});
  ByteVector first = load(folder / "a.weights");
  CHECK(first.size() == 20 + 4 * info["parameters"].get<std::size_t>());
  first[12] = 77;  // of `seen`, the photos it was trained with
  save(folder / "a.weights", first);
  output_of({"weights", "convert", at("a.cfg") + ":" + at("a.weights"), at("b.safetensors")});
  output_of({"weights", "convert", at("b.safetensors"), at("b.weights")});
  CHECK(load(folder / "b.weights") == first);

  output_of({"weights", "partial", at("b.safetensors"), "5", at("b.conv.5")});
  const ByteVector part = load(folder / "b.conv.5");
  CHECK((part.size() > 20 && part.size() < first.size()));
  CHECK(std::equal(part.begin(), part.end(), first.begin()));
  Words words = train_words(tiny_run().data, folder / "run", "1");
  words.insert(words.end(), {"--from", at("b.conv.5"), "--dry-run"});
  CHECK(shows(output_of(words), "not in the file"));
  const Output refused = run_program({"weights", "info", "rook-nano:" + at("b.conv.5")});
  CHECK(refused.status == 1);
}

TEST_CASE("rook weights: real files, byte for byte") {
  const fs::path folder = assets("conversion of real weights");
  if (folder.empty()) return;
  const TempFolder here;
  const auto at = [&](const char* name) { return (here / name).string(); };
  // A file with 64 bits of `seen` and one of the old kind with 32.
  for (const std::string name : {"MobileNetV2-YOLO-Fastest-v2-voc", "yolo-lite-trial6-653550-coco"}) {
    CAPTURE(name);
    const std::string x = at(name.c_str());
    const fs::path weights = folder / "weights" / (name + ".weights");
    output_of({"weights", "convert", "--lenient", (folder / "cfg" / (name + ".cfg")).string() + ":" + weights.string(),
               x + ".safetensors"});
    output_of({"weights", "convert", x + ".safetensors", x + ".weights"});
    CHECK(load(x + ".weights") == load(weights));
  }
  const std::string name = "yolov4-tiny-voc-rebuilt";
  output_of({"weights", "partial",
             (folder / "cfg" / (name + ".cfg")).string() + ":" + (folder / "weights" / (name + ".weights")).string(),
             "29", at("x.conv.29")});
  CHECK(load(here / "x.conv.29") == load(folder / "weights" / (name + ".conv.29")));
}

TEST_CASE("rook data: faults are listed with file and line") {
  const TempFolder folder;
  const fs::path data = folder / "data", labels = data / "valid/labels/photo-1.txt";
  write_photo_data(data);
  const Output good = run_program({"data", "check", data.string(), "--draw", (folder / "drawn").string()});
  CHECK(good.status == 0);
  for (const char* name : {"train-photo-0.jpg", "valid-photo-5.jpg", "test-photo-3.jpg"})
    CHECK(io::read_image(folder / "drawn" / name).width == 64);

  append_text(labels, "0 .5 .5 nonsense\n7 .5 .5 .1 .1\n");
  append_text(data / "test/images/broken.png", "no picture");
  append_text(data / "test/labels/broken.txt", "0 .5 .5 .1 .1\n");
  const std::string text = text_of(labels);
  const long lines = std::count(text.begin(), text.end(), '\n');
  const Output bad = run_program({"data", "check", data.string()});
  CHECK(bad.status == 1);
  CHECK(shows(bad.out, labels.string() + ":" + std::to_string(lines - 1) + ": "));
  CHECK(shows(bad.out, labels.string() + ":" + std::to_string(lines) + ": "));
  CHECK(shows(bad.out, "broken.png"));
  const Output one = run_program({"data", "check", data.string(), "--faults", "1"});
  CHECK(shows(one.out, "... and 2 more faults"));
  const Output census = run_program({"data", "check", data.string(), "--json", "-"});
  CHECK(census.status == 1);
  CHECK(nlohmann::json::parse(census.out, nullptr, false).is_object());
}

TEST_CASE("rook data: other forms hold the same") {
  const TempFolder folder;
  const std::string data = tiny_run().data.string();
  const io::Dataset before = io::read_dataset(data);
  for (const std::string format : {"coco", "voc", "darknet", "yolo"}) {
    CAPTURE(format);
    const fs::path out = folder / format;
    output_of({"data", "convert", data, out.string(), "--format", format});
    const io::Dataset after = io::read_dataset(out);
    CHECK(after.format == format);
    CHECK(after.faults.empty());
    for (const io::Split& split : before.splits) {
      REQUIRE(after.find(split.name) != nullptr);
      std::size_t boxes = 0, others = 0;
      for (const io::LabelledImage& image : split.images) boxes += image.boxes.size();
      for (const io::LabelledImage& image : after.find(split.name)->images) others += image.boxes.size();
      CHECK(boxes == others);
    }
    const Output again = run_program({"data", "convert", data, out.string(), "--format", format});
    CHECK(again.status == 1);  // the folder is in use
  }
}
