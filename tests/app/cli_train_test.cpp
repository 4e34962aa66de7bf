// rook train from end to end: what lies in a run folder; interrupted, killed, gone on with.
#include <fmt/format.h>

#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "model/checkpoint.h"
#include "model/train_config.h"
#include "tests/app/cli_support.h"
#include "tests/sanitized.h"

using namespace rook;
using namespace rook::test;

namespace {

// The lines of metrics.jsonl, each of them valid JSON.
std::vector<nlohmann::json> metrics_of(const fs::path& run) {
  const std::string text = text_of(run / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    lines.push_back(nlohmann::json::parse(text.substr(at, end - at), nullptr, false));
    REQUIRE(lines.back().is_object());
    at = end + 1;
  }
  return lines;
}

// What of it must not depend on the clock.
std::vector<nlohmann::json> timeless_metrics_of(const fs::path& run) {
  std::vector<nlohmann::json> lines = metrics_of(run);
  for (nlohmann::json& line : lines)
    for (const char* key : {"seconds", "images_per_s"}) line.erase(key);
  return lines;
}

std::size_t lines_in(const fs::path& file) {
  if (!fs::exists(file)) return 0;
  const ByteVector bytes = load(file);
  return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

// Starts a training, waits for `lines` more lines of metrics, sends the signal; its exit status.
int stopped(const Words& words, const fs::path& run, std::size_t lines, int signal, std::string& out) {
  const TempFolder folder;
  const std::size_t before = lines_in(run / "metrics.jsonl");
  Child child(folder / ".", command_of(words), kQuietThreads);
  CHECK(wait_for([&] { return !child.running() || lines_in(run / "metrics.jsonl") >= before + lines; }, 120));
  const int status = child.end(signal);
  out = child.out();
  return status;
}

// Layers with weights, each of them as in the other model to the bit.
std::set<int> layers_that_stayed(const Model& before, const Model& after) {
  std::set<int> stayed, changed;
  for (const Param& param : after.params->all()) {
    const auto a = std::as_const(*before.params).value(*before.params->find(param.node, param.spec.role)),
               b = std::as_const(*after.params).value(param);
    (std::equal(a.begin(), a.end(), b.begin(), b.end()) ? stayed : changed).insert(param.node);
  }
  for (const int node : changed) stayed.erase(node);
  return stayed;
}

// Layers with weights among the first `count`.
std::set<int> layers_below(const Model& model, int count) {
  std::set<int> nodes;
  for (const Param& param : model.params->all())
    if (param.node < count) nodes.insert(param.node);
  return nodes;
}

}  // namespace

TEST_CASE("rook train --preview: draws what would be learnt from, and starts nothing") {
  const TempFolder folder;
  const fs::path run = folder / "run", plain = folder / "a/plain", changed = folder / "changed";
  const auto preview = [&](const fs::path& to, const Words& more) {
    Words words = train_words(tiny_run().data, run, "1");
    words.insert(words.end(), {"--preview", to.string()});
    words.insert(words.end(), more.begin(), more.end());
    CHECK(shows(output_of(words), "the first 16 inputs of this training, with their boxes: " + to.string()));
    CHECK(!fs::exists(run));
    std::map<std::string, ByteVector> files;
    for (const auto& entry : fs::directory_iterator(to)) files[entry.path().filename().string()] = load(entry.path());
    REQUIRE(files.size() == 16);
    return files;
  };
  const auto asked = preview(plain, {"--augment", "none"}), random = preview(changed, {});
  for (const auto& [name, bytes] : asked) CHECK(random.contains(name));  // the same photos in the same order
  CHECK(asked != random);
  Words again = train_words(tiny_run().data, run, "1");
  again.insert(again.end(), {"--preview", plain.string()});
  const Output refused = run_program(again);
  CHECK((refused.status == 1 && shows(refused.err, "exists and is not empty; name a new folder")));
  // Without augmentation a picture is the photo, but for the boxes drawn on it.
  const std::string name = asked.begin()->first, photo = name.substr(name.find("photo-"));
  const io::Image drawn = io::read_image(plain / name),
                  whole = io::read_image(tiny_run().data / "train/images" / photo);
  REQUIRE(drawn.pixels.size() == whole.pixels.size());
  std::size_t equal = 0;
  for (std::size_t i = 0; i < drawn.pixels.size(); ++i) equal += drawn.pixels[i] == whole.pixels[i];
  CHECK(equal > drawn.pixels.size() / 2);
  CHECK(equal < drawn.pixels.size());
}

TEST_CASE("rook train: a run folder") {
  const fs::path& run = tiny_run().run;
  const std::string& said = tiny_run().training;
  for (const char* text : {"12 training photos, 3 classes, 6 validation photos", "rook-nano at 64x64", "best mAP50",
                           "after 60 iterations", "report.html"})
    CHECK(shows(said, text));

  const nlohmann::json config = nlohmann::json::parse(text_of(run / "config.json"));
  CHECK(keys_of(config) == std::set<std::string>{"arch", "cfg", "classes", "data", "device", "from", "keep_unused",
                                                 "merge", "missing_is_negative", "started", "train", "train_list",
                                                 "valid"});
  CHECK(config["classes"] == kPhotoClasses);
  CHECK(to_json(train_config_from_json(config["train"])) == config["train"]);
  CHECK(config["train"]["batch"] == 4);

  int steps = 0, evaluations = 0;
  for (const nlohmann::json& line : metrics_of(run)) {
    if (line["type"] == "train") {
      CHECK(line["iteration"] == ++steps);
      for (const char* key : {"epoch", "loss", "box", "objectness", "classes", "iou", "gradient", "lr", "width",
                              "height", "images_per_s", "seconds"})
        CHECK_MESSAGE(line.at(key).is_number(), key);
    } else {
      CHECK(line["type"] == "eval");
      CHECK(line["iteration"] == steps);
      CHECK(line["split"] == "valid");
      CHECK((line["map50"] >= 0 && line["map50"] <= 1 && line["map50_95"] <= line["map50"]));
      ++evaluations;
    }
  }
  CHECK(steps == 60);
  CHECK(evaluations == 10);

  for (const char* name : {"last.safetensors", "best.safetensors"}) {
    const Model model = load_model((run / name).string());
    CHECK(model.names == kPhotoClasses);
    CHECK(model.network->width == 64);  // that of the training, not rook-nano's own
  }
  CHECK(read_checkpoint(run / "last.safetensors").state["iteration"] == 60);

  const std::string report = text_of(run / "report.html");
  CHECK(report.starts_with("<!DOCTYPE html>"));
  CHECK(shows(report, "brought to size by"));
  for (const char* outside : {"http:", "https:", "src=\"/", "<link", "@import"})
    CHECK_MESSAGE(report.find(outside) == std::string::npos, outside);
  for (const char* name : {"worst-1.jpg", "best-6.jpg"}) CHECK(io::read_image(run / "samples" / name).width == 64);
}

TEST_CASE("rook train: interrupted or killed, it goes on to the bit") {
  const TempFolder folder;
  const fs::path& data = tiny_run().data;
  const fs::path whole = folder / "whole", parts = folder / "parts";
  const int epochs = kSanitized ? 16 : 40, iterations = 3 * epochs;
  const Words start = train_words(data, parts, std::to_string(epochs)), again{"train", "--resume", parts.string()};
  output_of(train_words(data, whole, std::to_string(epochs)));

  std::string out;
  CHECK(stopped(start, parts, 10, SIGINT, out) == 130);
  CHECK(shows(out, "--resume"));
  CHECK(shows(out, "interrupted after"));
  const std::int64_t iteration = read_checkpoint(parts / "last.safetensors").state["iteration"].get<std::int64_t>();
  CHECK((iteration >= 5 && iteration < iterations));
  CHECK(metrics_of(parts).back()["iteration"] == iteration);
  CHECK(!fs::exists(parts / "report.html"));

  CHECK(stopped(again, parts, 3, SIGTERM, out) == 128 + SIGTERM);
  CHECK(shows(out, "interrupted after"));
  CHECK(stopped(again, parts, 3, SIGKILL, out) == -SIGKILL);
  REQUIRE(read_checkpoint(parts / "last.safetensors").state["iteration"] >= iteration);
  CHECK_NOTHROW(load_model((parts / "best.safetensors").string()));
  append_text(parts / "metrics.jsonl", "{\"type\": \"train\", \"itera");  // as a kill may leave it

  const std::string rest = output_of(again);
  CHECK(shows(rest, fmt::format("finished after {} iterations", iterations)));
  for (const char* name : {"last.safetensors", "best.safetensors"}) CHECK(load(parts / name) == load(whole / name));
  CHECK(timeless_metrics_of(parts) == timeless_metrics_of(whole));
  CHECK(text_of(parts / "config.json").size() > 100);
}

TEST_CASE("rook train: from another run, with other classes, with a list of photos") {
  const TempFolder folder;
  const fs::path& data = tiny_run().data;
  append_text(folder / "list.txt", "photo-3.png\nphoto-5\n");
  Words words = train_words(data, folder / "run", "3");
  // Network and size are those of the run.
  const auto arch = std::find(words.begin(), words.end(), "--arch");
  words.erase(arch, arch + 4);
  REQUIRE(std::find(words.begin(), words.end(), "--size") == words.end());
  const Words more{"--from",       tiny_run().run.string(),
                   "--merge",      "blue=red",
                   "--train-list", (folder / "list.txt").string(),
                   "--freeze",     "4",
                   "--ema",        "0"};
  words.insert(words.end(), more.begin(), more.end());
  const std::string out = output_of(words);
  CHECK(shows(out, "2 training photos, 2 classes"));
  // Gone on with, it has the same photos and classes, and nothing else can be asked of it.
  const Words again{"train", "--resume", (folder / "run").string()};
  const auto with = [&](Words extra) {
    Words all = again;
    all.insert(all.end(), extra.begin(), extra.end());
    return all;
  };
  CHECK(shows(output_of(with({"--dry-run"})), "2 training photos, 2 classes"));
  CHECK(shows(output_of(with({"--dry-run", "--data", data.string(), "--merge", "blue=red"})), "2 training photos"));
  check_failure(with({"--merge", "green=red"}), "--merge: the run was started with other photos", 2);
  check_failure(with({"--missing-is-negative"}), "--missing-is-negative: the run was started with other photos", 2);
  check_failure(with({"--epochs", "9"}), "--epochs: a run that goes on stays as it was started", 2);
  fs::remove(folder / "list.txt");
  append_text(folder / "list.txt", "photo-3.png\n");
  check_failure(again, "was trained on 2 photos, and the data now have 1");
  CHECK(shows(out, "2 keep their weights, found by name; given up: blue"));
  const Model before = load_model(tiny_run().run.string()), after = load_model((folder / "run").string());
  CHECK(after.names == std::vector<std::string>{"red", "green"});
  CHECK(after.network->graph.size() == before.network->graph.size());
  CHECK(after.network->width == 64);
  CHECK(nlohmann::json::parse(text_of(folder / "run/config.json"))["arch"] == "rook-nano");
  CHECK(layers_that_stayed(before, after) == layers_below(after, 4));
}

TEST_CASE("rook train: what another training needs is not overwritten, what is asked for is there") {
  const TempFolder folder;
  const fs::path& data = tiny_run().data;
  for (const char* name : {"used", "own"}) fs::create_directory(folder / name);
  append_text(folder / "used/metrics.jsonl", "{}\n");
  check_failure(train_words(data, folder / "used", "1"), "used: holds files of another training");
  append_text(folder / "own/config.json", "{}");
  check_failure(train_words(data, folder / "own", "1"), "own: holds files of another training");
  CHECK(text_of(folder / "own/config.json") == "{}");
  check_failure(train_words(data, tiny_run().run, "1"), "holds a run already");

  Words words = train_words(data, folder / "run", "1");
  words.insert(words.end(), {"--valid", "vaild"});
  check_failure(words, "has no split 'vaild'; there are: ");
  CHECK(!fs::exists(folder / "run"));
}

TEST_CASE("rook train: the recipe transfer leaves early layers as they were imported, unless --freeze says otherwise") {
  const TempFolder folder;
  const Model before = load_model(tiny_run().run.string());
  const int early = early_layers(*before.network, {});
  REQUIRE(early > 4);
  for (const int freeze : {early, 0}) {
    CAPTURE(freeze);
    const fs::path run = folder / std::to_string(freeze);
    Words words = train_words(tiny_run().data, run, "1");
    const Words more{"--from", tiny_run().run.string(), "--recipe", "transfer", "--ema", "0"};
    words.insert(words.end(), more.begin(), more.end());
    if (freeze == 0) words.insert(words.end(), {"--freeze", "0"});
    const std::string out = output_of(words);
    CHECK(shows(out, fmt::format("the first {} layers stay as they are", early)) == (freeze > 0));
    CHECK(nlohmann::json::parse(text_of(run / "config.json"))["train"]["freeze"] == freeze);
    const Model after = load_model((run / "last.safetensors").string());
    CHECK(layers_that_stayed(before, after) == layers_below(after, freeze));
  }
}

TEST_CASE("rook train: a dry run writes nothing") {
  const TempFolder folder;
  Words words = train_words(tiny_run().data, folder / "run", "3");
  words.emplace_back("--dry-run");
  CHECK(shows(output_of(words), "12 training photos"));
  CHECK(!fs::exists(folder / "run"));
}
