// rook weights convert: what it writes is the same detector, and it takes the place of nothing.
#include <nlohmann/json.hpp>

#include "model/checkpoint.h"
#include "model/train_config.h"
#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

nlohmann::json boxes_of(const Words& model) {
  Words words{"detect", (tiny_run().data / "test/images").string(), "--conf", "0.02"};
  words.insert(words.end(), model.begin(), model.end());
  nlohmann::json boxes = nlohmann::json::array();
  for (const nlohmann::json& photo : json_of(words)) boxes.push_back(photo["detections"]);
  return boxes;
}

}  // namespace

TEST_CASE("rook weights convert: darknet's files are the same detector: size, class names") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string(), weights = (folder / "w.weights").string();
  const std::string cfg = (folder / "w.cfg").string(), names = (folder / "w.names").string();
  const std::string said = output_of({"weights", "convert", run, weights});
  CHECK(shows(said, names + " written (the class names: --names " + names + ")"));
  CHECK(shows(text_of(cfg), "width=64\nheight=64\n"));
  CHECK(text_of(names) == "red\ngreen\nblue\n");
  const std::string scaled = nlohmann::json::parse(text_of(tiny_run().run / "config.json"))["train"]["resize"];
  const nlohmann::json own = boxes_of({"--model", run});
  CHECK(!own.empty());
  CHECK(boxes_of({"--model", cfg + ":" + weights, "--names", names, "--resize", scaled}) == own);
}

TEST_CASE("rook weights convert: what a cfg cannot hold is said, what it can is written") {
  const TempFolder folder;
  const auto convert = [&](const char* resize, const char* fit, const std::string& name) {
    Checkpoint checkpoint = read_checkpoint(tiny_run().run / "best.safetensors");
    checkpoint.preprocess = {.resampling = resampling_from_name(resize), .fit = fit_from_name(fit)};
    const Model model = to_model(checkpoint, "changed");
    write_checkpoint(folder / (name + ".safetensors"), *model.network, *model.params, checkpoint);
    return run_program(
        {"weights", "convert", (folder / (name + ".safetensors")).string(), (folder / (name + ".weights")).string()});
  };
  const Output area = convert("area", "letterbox", "a");
  CHECK(area.status == 0);
  CHECK(shows(area.err, "detect with --resize area"));
  CHECK(shows(text_of(folder / "a.cfg"), "letter_box=1"));
  const Output plain = convert("align-corners", "stretch", "b");
  CHECK(plain.status == 0);
  CHECK(plain.err.empty());
  CHECK(!shows(text_of(folder / "b.cfg"), "letter_box=1"));
}

TEST_CASE("rook weights convert: nothing is overwritten but by itself") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string();
  const auto at = [&](const char* name) { return (folder / name).string(); };
  output_of({"weights", "convert", run, at("net.weights")});
  output_of({"weights", "convert", run, at("net.weights")});  // the same once more
  append_text(folder / "net.cfg", "# a comment\n");
  const std::string cfg = text_of(folder / "net.cfg");
  save(folder / "a.weights", load(folder / "net.weights"));
  fs::remove(folder / "net.weights");
  check_failure({"weights", "convert", at("net.cfg") + ":" + at("a.weights"), at("net.weights")},
                at("net.cfg") + ": exists, and is not what would be written");
  CHECK(text_of(folder / "net.cfg") == cfg);
  CHECK(!fs::exists(folder / "net.weights"));

  fs::create_directory(folder / "run");
  for (const char* file : {"last.safetensors", "best.safetensors"})
    save(folder / "run" / file, load(tiny_run().run / file));
  const ByteVector training = load(folder / "run/last.safetensors");
  check_failure({"weights", "convert", at("run"), at("run/last.safetensors")}, "name another file, or remove this one");
  CHECK(load(folder / "run/last.safetensors") == training);

  append_text(folder / "b.names", "other\n");
  check_failure({"weights", "convert", run, at("b.weights")}, at("b.names"));
  CHECK(!fs::exists(folder / "b.weights"));
  append_text(folder / "part", "other\n");
  check_failure({"weights", "partial", run, "2", at("part")}, at("part"));
}

TEST_CASE("a converted checkpoint can be looked into, and is no training to go on with") {
  const TempFolder folder;
  const std::string file = (folder / "c.safetensors").string();
  const std::string photo = (tiny_run().data / "test/images/photo-0.png").string();
  output_of({"weights", "convert", tiny_run().run.string(), file});
  CHECK(json_of({"inspect", "--model", file, photo, "--runs", "1"})["photo"].contains("detections"));
  check_failure({"train", "--data", tiny_run().data.string(), "--resume", file}, "holds no state of a training");
}

TEST_CASE("our own weights are named wherever a model is") {
  for (const Words& command : std::vector<Words>{{"detect"},
                                                 {"eval"},
                                                 {"serve"},
                                                 {"inspect"},
                                                 {"tune"},
                                                 {"diff"},
                                                 {"weights", "info"},
                                                 {"weights", "convert"}}) {
    Words words = command;
    words.emplace_back("--help");
    CHECK_MESSAGE(shows(output_of(words), "rendered"), joined(command));
  }
  CHECK(json_of({"inspect", "--model", "rendered", "--size", "64", "--runs", "1"})["layers"].size() > 10);
}

TEST_CASE("a configuration that lacks something is described in plain words") {
  std::string said;
  try {
    train_config_from_json(nlohmann::json::object());
  } catch (const Error& error) {
    said = error.what();
  }
  CHECK(said.starts_with("configuration of the run: key 'recipe' not found"));
  CHECK(!shows(said, "json.exception"));
}
