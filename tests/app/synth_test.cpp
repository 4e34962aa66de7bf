// `rook synth` as a user calls it.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>

#include "tests/app/cli_support.h"
#include "tests/sanitized.h"

using namespace rook::test;

namespace {

fs::path source_folder() {
  const char* folder = std::getenv("ROOK_SOURCE_DIR");
  REQUIRE_MESSAGE((folder && *folder), "set ROOK_SOURCE_DIR to the checkout, as ctest does");
  return folder;
}

// What `./run` sets a variable to: the rest of the line.
std::string set_in_run(const std::string& variable) {
  std::ifstream in(source_folder() / "run");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(variable + "=")) return line.substr(variable.size() + 1);
  return "";
}

}  // namespace

TEST_CASE("rook synth chess writes a data set that rook data check finds nothing wrong with") {
  const TempFolder folder;
  const std::string out = (folder / "set").string();
  const Output done = run_program({"synth", "chess", "--images", "12", "--size", "96", "--threads", "2", "--out", out});
  REQUIRE_MESSAGE(done.status == 0, done.err);
  CHECK(shows(done.out, "12 pictures of 96x96"));
  CHECK((done.err.empty() || shows(done.err, "12/12 pictures")));  // what is done within five seconds needs no line
  const nlohmann::json census = nlohmann::json::parse(output_of({"data", "check", out, "--json", "-"}));
  CHECK(census["faults"].empty());
  CHECK(census["classes"].size() == 12);
}

TEST_CASE("rook synth chess, rook data convert: ended by a signal they leave nothing behind") {
  const TempFolder folder;
  const std::string out = (folder / "out").string(), data = (folder / "data").string();
  output_of({"synth", "chess", "--images", "60", "--size", "96", "--out", data});
  for (const Words& words : {Words{"synth", "chess", "--images", "100000", "--size", "96", "--out", out},
                             Words{"data", "convert", data, out, "--resize", "1500x1500"}})
    for (const int signal : {SIGTERM, SIGINT}) {
      CAPTURE(joined(words));
      Child child(folder / ".", command_of(words), kQuietThreads);
      CHECK(wait_for([&] { return fs::exists(out + ".photos") && !fs::is_empty(out + ".photos"); }, 60));
      CHECK(child.end(signal) == 128 + signal);
      CHECK(shows(child.err(), "interrupted: nothing was written"));
      CHECK(!fs::exists(out));
      CHECK(!fs::exists(out + ".photos"));
    }
}

TEST_CASE("rook synth chess: a sheet of pictures, and what it refuses") {
  const TempFolder folder;
  const std::string sheet = (folder / "sheet.png").string();
  output_of({"synth", "chess", "--size", "40", "--sheet", sheet});
  const rook::io::Image image = rook::io::read_image(sheet);
  CHECK(image.width == 160);
  CHECK(image.height == 120);
  const Output nothing = run_program({"synth", "chess"});
  CHECK(nothing.status == 2);
  CHECK(shows(nothing.err, "--out"));
  CHECK(run_program({"synth", "chess", "--out", (folder / "x").string(), "--visible", "0"}).status == 2);
  const Output full = run_program({"synth", "chess", "--out", (folder / ".").string()});
  CHECK(full.status == 1);
  CHECK(shows(full.err, "not empty"));
}

TEST_CASE("our own weights: small, made of rendered photos alone, and of others than ./run chess is measured on") {
  CHECK(fs::file_size(source_folder() / "model" / "zoo" / "rendered.safetensors") <= 4'000'000);
  const nlohmann::json info = nlohmann::json::parse(output_of({"weights", "info", "rendered", "--json", "-"}));
  CHECK(info["classes"].size() == 12);
  CHECK(info["classes"][0] == "black-bishop");
  const std::string made_by = info["note"], pretrain = set_in_run("pretrain_seed"), chess = set_in_run("rendered_seed");
  INFO(made_by);
  REQUIRE(!pretrain.empty());
  REQUIRE(!chess.empty());
  CHECK(pretrain != chess);
  // The recipe in the file is that of `./run pretrain`.
  CHECK(shows(made_by, "--seed " + pretrain + ";"));
  CHECK(shows(made_by, "--from scratch"));
  const std::string train = set_in_run("pretrain_train");
  REQUIRE(train.size() > 2);
  CHECK(made_by.ends_with("rook train " + train.substr(1, train.size() - 2)));
}

TEST_CASE("our own weights detect on rendered photos they never saw, and start a training with their network") {
  const TempFolder folder;
  const std::string set = (folder / "set").string();
  output_of({"synth", "chess", "--images", "10", "--seed", "77", "--out", set});
  const nlohmann::json report = nlohmann::json::parse(output_of(
      {"eval", "--model", "rendered", "--data", set, "--split", kSanitized ? "test" : "train", "--json", "-"}));
  CHECK(report["map50"].get<double>() > 0.6);  // random weights: nothing
  const std::string start = output_of({"train", "--data", set, "--from", "rendered", "--dry-run"});
  CHECK(shows(start, "rendered: 21 layers loaded, 0 start at random"));
  CHECK(shows(start, "rook-small at 416x416"));
  CHECK(shows(start, "transfer"));
  // Another network is still taken where it is asked for.
  CHECK(shows(output_of({"train", "--data", set, "--from", "rendered", "--arch", "rook-nano", "--dry-run"}),
              "rook-nano"));
}

TEST_CASE("rook weights convert --half: half the file, the same detections; not for darknet's files") {
  const TinyRun& tiny = tiny_run();
  const TempFolder folder;
  const std::string half = (folder / "half.safetensors").string(), full = (folder / "full.safetensors").string();
  output_of({"weights", "convert", tiny.run.string(), full});
  output_of({"weights", "convert", tiny.run.string(), half, "--half", "--note", "twelve photos"});
  CHECK(fs::file_size(half) < 0.6 * static_cast<double>(fs::file_size(full)));
  CHECK(shows(output_of({"weights", "info", half}), "made by: twelve photos"));
  // Evaluated at the size of its training, which the file keeps.
  const auto map50 = [&](const std::string& model) {
    const std::string report =
        output_of({"eval", "--model", model, "--data", tiny.data.string(), "--split", "train", "--json", "-"});
    return nlohmann::json::parse(report)["map50"].get<double>();
  };
  CHECK(map50(full) == doctest::Approx(map50(tiny.run.string())));
  CHECK(std::abs(map50(half) - map50(full)) < 0.02);
  const Output refused =
      run_program({"weights", "convert", tiny.run.string(), (folder / "a.weights").string(), "--half"});
  CHECK(refused.status == 2);
  CHECK(shows(refused.err, "--half"));
  CHECK(!fs::exists(folder / "a.weights"));
}
