// rook label and rook data check --model, from end to end.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

std::vector<std::string> lines_of(const fs::path& file) {
  std::istringstream text(text_of(file));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

Words label_words(const fs::path& out, const fs::path& photos, const Words& more = {}) {
  Words words{"label", out.string(), photos.string(), "--model", tiny_run().run.string()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Photos whose labels are what the tiny model sees: it agrees with all of them.
void write_agreed(const fs::path& folder, const std::string& format) {
  output_of(label_words(folder, tiny_run().data / "train/images", {"--conf", "0.15", "--format", format, "--quiet"}));
}

}  // namespace

TEST_CASE("rook label: a data set of proposals in every format, the least certain photos first") {
  const TempFolder folder;
  const fs::path photos = tiny_run().data / "valid/images";
  for (const std::string format : {"coco", "yolo", "voc", "darknet"}) {
    const fs::path out = folder / format;
    const std::string said = output_of(label_words(out, photos, {"--format", format, "--conf", "0.1", "--batch", "4"}));
    CHECK_MESSAGE(shows(said, "boxes proposed on 6 photos"), said);
    CHECK(folder.entries() == 1);
    const io::Dataset dataset = io::read_dataset(out);
    CHECK(dataset.faults.empty());
    REQUIRE(dataset.splits.size() == 1);
    REQUIRE(dataset.splits[0].images.size() == 6);

    const nlohmann::json json = nlohmann::json::parse(text_of(out / "proposals.json"));
    const std::vector<std::string> order = lines_of(out / "order.txt");
    REQUIRE((order.size() == 6 && json["photos"].size() == 6));
    double before = 1e9;
    std::size_t boxes = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      const nlohmann::json& photo = json["photos"][i];
      CHECK(photo["photo"] == order[i]);
      CHECK(load(out / order[i]) == load(photo["source"].get<std::string>()));
      CHECK(photo["corrections"].get<double>() <= before);
      before = photo["corrections"].get<double>();
      boxes += photo["proposals"].size();
      const auto labelled =
          std::find_if(dataset.splits[0].images.begin(), dataset.splits[0].images.end(),
                       [&](const io::LabelledImage& image) { return fs::equivalent(image.file, out / order[i]); });
      REQUIRE(labelled != dataset.splits[0].images.end());
      REQUIRE(labelled->boxes.size() == photo["proposals"].size());
      for (std::size_t b = 0; b < labelled->boxes.size(); ++b) {
        const nlohmann::json& p = photo["proposals"][b];
        const io::LabelBox& box = labelled->boxes[b];
        CHECK(dataset.classes[static_cast<std::size_t>(box.cls)] == p["class"]);
        CHECK(std::abs(box.w * 64 - p["box"][2].get<double>()) < 0.01);
        CHECK(p["score"].get<double>() >= 0.1);
      }
    }
    CHECK(boxes > 0);
    const std::string page = text_of(out / "review.html");
    for (const std::string& name : order) CHECK(shows(page, name));
    if (format == "coco") {
      const nlohmann::json coco = nlohmann::json::parse(text_of(out / "train/_annotations.coco.json"));
      REQUIRE(coco["annotations"].size() == boxes);
      for (const nlohmann::json& annotation : coco["annotations"]) CHECK(annotation["score"].get<double>() >= 0.1);
      CHECK(coco["images"][0]["file_name"] == fs::path(order[0]).filename().string());
    }
    fs::remove_all(out);
  }
}

TEST_CASE("rook label: a photo that cannot be read is named and leaves the others as they are") {
  const TempFolder folder;
  fs::create_directories(folder / "in");
  for (int i = 0; i < 3; ++i) {
    const std::string name = "photo-" + std::to_string(i) + ".png";
    fs::copy_file(tiny_run().data / "test/images" / name, folder / "in" / name);
  }
  ByteVector cut = load(folder / "in/photo-1.png");
  cut.resize(cut.size() / 2);
  save(folder / "in/photo-1.png", cut);
  const Output output = run_program(label_words(folder / "out", folder / "in", {"--conf", "0.1"}));
  CHECK(output.status == 1);
  CHECK_MESSAGE(shows(output.err, "left out: " + (folder / "in/photo-1.png").string()), output.err);
  CHECK(shows(output.out, "1 files could not be read"));
  CHECK(io::read_dataset(folder / "out").splits[0].images.size() == 2);
  const nlohmann::json json = nlohmann::json::parse(text_of(folder / "out/proposals.json"));
  REQUIRE(json["unreadable"].size() == 1);
  CHECK(shows(json["unreadable"][0]["reason"], "photo-1.png"));

  // None that can be read, or a folder in use: nothing is written.
  const Output none = run_program(label_words(folder / "none", folder / "in/photo-1.png"));
  CHECK((none.status == 1 && shows(none.err, "nothing was written")));
  CHECK_FALSE(fs::exists(folder / "none"));
  const std::string before = text_of(folder / "out/proposals.json");
  const Output used = run_program(label_words(folder / "out", folder / "in"));
  CHECK((used.status == 1 && shows(used.err, "exists and is not empty")));
  CHECK(text_of(folder / "out/proposals.json") == before);
  CHECK(folder.entries() == 2);
  CHECK(run_program({"label", (folder / "x").string()}).status == 2);
  const Output floor = run_program(label_words(folder / "x", folder / "in", {"--floor", "0.5"}));
  CHECK((floor.status == 1 && shows(floor.err, "--floor 0.5")));
}

TEST_CASE("rook label: --max keeps the surest boxes, an empty folder may be the target") {
  const TempFolder folder;
  fs::create_directories(folder / "out");
  output_of(label_words(folder / "out", tiny_run().data / "train/images",
                        {"--conf", "0.05", "--floor", "0.01", "--max", "1"}));
  const io::Dataset dataset = io::read_dataset(folder / "out");
  REQUIRE(dataset.splits.size() == 1);
  for (const io::LabelledImage& image : dataset.splits[0].images) CHECK(image.boxes.size() <= 1);
}

TEST_CASE("rook data check --model: planted errors come first, with the line they stand on") {
  const TempFolder folder;
  write_agreed(folder / "agreed", "yolo");
  const fs::path labels = folder / "agreed/train/labels";
  // Of the photos with boxes: the surest one gets another class, the next one loses its label.
  const nlohmann::json seen = nlohmann::json::parse(text_of(folder / "agreed/proposals.json"));
  std::vector<std::pair<double, std::string>> surest;
  for (const nlohmann::json& photo : seen["photos"])
    if (!photo["proposals"].empty())
      surest.emplace_back(-photo["proposals"][0]["score"].get<double>(),
                          fs::path(photo["photo"].get<std::string>()).stem().string());
  std::sort(surest.begin(), surest.end());
  REQUIRE(surest.size() >= 2);
  const fs::path wrong = labels / (surest[0].second + ".txt"), missing = labels / (surest[1].second + ".txt");
  std::vector<std::string> lines = lines_of(wrong);
  const char old = lines[0][0];
  lines[0][0] = static_cast<char>('0' + (old - '0' + 1) % 3);
  std::rotate(lines.begin(), lines.begin() + 1, lines.end());  // to the last line
  std::string text = "\n";
  for (const std::string& line : lines) text += line + "\n";
  std::ofstream(wrong) << text;
  lines = lines_of(missing);
  text.clear();
  for (std::size_t i = 1; i < lines.size(); ++i) text += lines[i] + "\n";
  std::ofstream(missing) << text;

  const Words words{"data", "check", (folder / "agreed").string(), "--model", tiny_run().run.string(), "--keep-unused"};
  const nlohmann::json json = json_of(words);
  REQUIRE(json["suspects"].size() >= 2);
  std::set<std::string> kinds;
  for (std::size_t i = 0; i < 2; ++i) {
    const nlohmann::json& s = json["suspects"][i];
    kinds.insert(s["kind"]);
    CHECK(s["rank"] == i + 1);
    if (s["kind"] == "wrong_class") {
      CHECK(fs::path(s["file"].get<std::string>()).filename() == wrong.filename());
      CHECK(s["line"] == lines_of(wrong).size());
      CHECK(s["model"]["class"] == kPhotoClasses[static_cast<std::size_t>(old - '0')]);
      CHECK(s["label"]["class"] == kPhotoClasses[static_cast<std::size_t>((old - '0' + 1) % 3)]);
    } else {
      CHECK(fs::path(s["file"].get<std::string>()).filename() == missing.filename());
    }
  }
  CHECK(kinds == std::set<std::string>{"wrong_class", "missing_box"});

  Words drawn = words;
  drawn.insert(drawn.end(), {"--top", "2", "--draw", (folder / "drawn").string()});
  const std::string said = output_of(drawn);
  CHECK_MESSAGE(shows(said, wrong.filename().string() + ":"), said);
  CHECK(shows(said, "2 pictures"));
  CHECK(std::distance(fs::directory_iterator(folder / "drawn"), fs::directory_iterator()) == 2);
}

TEST_CASE("rook data check --model: file and line of COCO JSON") {
  const TempFolder folder;
  write_agreed(folder / "agreed", "coco");
  const fs::path file = folder / "agreed/train/_annotations.coco.json";
  const nlohmann::json json =
      json_of({"data", "check", (folder / "agreed").string(), "--model", tiny_run().run.string(), "--top", "0"});
  const std::vector<std::string> lines = lines_of(file);
  const nlohmann::json coco = nlohmann::json::parse(text_of(file));
  int labelled = 0;
  for (const nlohmann::json& s : json["suspects"]) {
    CHECK(fs::equivalent(s["file"].get<std::string>(), file));
    const auto line = s["line"].get<std::size_t>();
    REQUIRE((line > 0 && line <= lines.size()));
    CHECK(lines[line - 1].find('{') != std::string::npos);
    if (!s.contains("label")) continue;
    ++labelled;
    // The object that begins there has the label's box.
    std::string object;
    for (std::size_t i = line - 1; i < lines.size(); ++i) {
      object += lines[i];
      if (lines[i].find('}') != std::string::npos) break;
    }
    const nlohmann::json annotation = nlohmann::json::parse(object.substr(0, object.rfind('}') + 1));
    CHECK(std::abs(annotation["bbox"][0].get<double>() - s["label"]["box"][0].get<double>()) < 0.01);
  }
  CHECK(labelled > 0);
}

TEST_CASE("rook data check --model: photos a model was trained on are judged by another one") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string(), data = tiny_run().data.string();
  const nlohmann::json alone = json_of({"data", "check", data, "--model", run});
  CHECK(alone["photos"] == 22);
  CHECK((alone["models"][0]["photos"] == 22 && alone["models"][0]["trained_on"] == 12));
  const std::string said = output_of({"data", "check", data, "--model", run, "--split", "train"});
  CHECK_MESSAGE(shows(said, "12 of them " + run + " was trained on"), said);

  // A copy of the run's checkpoint says nothing of its training: it judges what the run has learnt.
  fs::copy_file(tiny_run().run / "best.safetensors", folder / "copy.safetensors");
  const nlohmann::json both =
      json_of({"data", "check", data, "--model", run, "--model", (folder / "copy.safetensors").string()});
  CHECK((both["models"][0]["photos"] == 10 && both["models"][0]["trained_on"] == 0));
  CHECK((both["models"][1]["photos"] == 12 && both["models"][1]["trained_on"] == 0));

  std::ofstream(folder / "list.txt") << "photo-4.png\n";
  const nlohmann::json few =
      json_of({"data", "check", data, "--model", run, "--split", "valid", "--photos", (folder / "list.txt").string()});
  CHECK(few["photos"] == 1);
  const Output no_split = run_program({"data", "check", data, "--model", run, "--split", "holdout"});
  CHECK((no_split.status == 1 && shows(no_split.err, "'holdout'")));
}
