// What every command has in common: help, bad usage, failures.
#include "tests/app/cli_support.h"

using namespace rook::test;

namespace {

// The commands that the help of `command` lists, and theirs.
void add_commands(const Words& command, std::vector<Words>& all) {
  Words words = command;
  words.push_back("--help");
  const std::string help = output_of(words);
  std::size_t at = help.find("Subcommands:\n");
  if (at == std::string::npos) return;
  for (at = help.find('\n', at) + 1; help.compare(at, 2, "  ") == 0; at = help.find('\n', at) + 1) {
    const std::size_t name = help.find_first_not_of(' ', at);
    if (name != at + 2) continue;  // a line that goes on
    all.push_back(command);
    all.back().push_back(help.substr(name, help.find(' ', name) - name));
    add_commands(Words(all.back()), all);
  }
}

}  // namespace

TEST_CASE("command line: help has an example") {
  CHECK(output_of({"--help"}).find("Example") != std::string::npos);
  std::vector<Words> commands;
  add_commands({}, commands);
  CHECK(commands.size() > 30);
  for (const Words& command : commands) {
    CAPTURE(joined(command));
    Words words = command;
    words.push_back("--help");
    const std::string help = output_of(words);
    const std::size_t example = help.find("Example");
    REQUIRE(example != std::string::npos);
    CHECK(help.find("rook " + joined(command), example) != std::string::npos);
  }
  CHECK(output_of({"--version"}).starts_with("rook "));
}

TEST_CASE("command line: bad usage") {
  const std::string data = tiny_run().data.string();
  const std::vector<Words> bad{{},
                               {"paint"},
                               {"--colour"},
                               {"detect"},
                               {"detect", "--model", "m.safetensors"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--batch", "0"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--classes", "most"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--conf", "high"},
                               {"train"},
                               {"train", "--data", "d", "--optimizer", "adam"},
                               {"train", "--data", "d", "--epochs"},
                               {"eval", "--model", "m.safetensors"},
                               {"inspect"},
                               {"bench"},
                               {"bench", "kernels"},
                               {"bench", "net", "--repetitions", "0"},
                               {"bench", "ops", "--batch", "0"},
                               {"bench", "compare", "a.json"},
                               {"weights"},
                               {"weights", "info"},
                               {"weights", "partial", "m.safetensors", "0", "out"},
                               {"data", "check"},
                               {"data", "convert", "d", "e", "--format", "csv"},
                               {"data", "convert", data, "e", "--resize", "416"},
                               {"data", "check", "d", "--merge", "red"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--conf", "2"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--nms", "soft"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--resize", "cubic"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--fit", "crop"},
                               {"detect", "--model", "m.safetensors", "photo.jpg", "--device", "tpu"},
                               {"train", "--data", "d", "--epochs", "0"},
                               {"train", "--data", "d", "--batch", "-4"},
                               {"train", "--data", "d", "--policy", "linear"},
                               {"train", "--data", "d", "--recipe", "fast"},
                               {"train", "--data", data, "--arch", "rook-nano", "--until", "map=2"},
                               {"train", "--data", data, "--arch", "rook-nano", "--stages", "100:1"},
                               {"inspect", "--model", "rook-nano", "--precision", "int4"},
                               {"weights", "convert", "m.safetensors", "m.onnx"},
                               {"synth", "chess"}};
  for (const Words& words : bad) {
    const Output output = run_program(words);
    INFO("rook ", joined(words));
    CHECK(output.status == 2);
    CHECK(!output.err.empty());
    CHECK(output.out.empty());
  }
}

TEST_CASE("command line: what is missing is named in one line") {
  const TempFolder folder;
  const std::string nothing = (folder / "nothing").string(), model = nothing + ".safetensors";
  const std::string run = tiny_run().run.string(), data = tiny_run().data.string();
  const std::string photo = (tiny_run().data / "test/images/photo-0.png").string();
  check_failure({"detect", "--model", nothing, photo}, nothing);
  check_failure({"detect", "--model", model, photo}, model);
  check_failure({"detect", "--model", nothing + ".cfg:" + nothing + ".weights", photo}, nothing + ".cfg");
  check_failure({"detect", "--model", "rook-nano:" + nothing + ".weights", photo}, nothing + ".weights");
  check_failure({"detect", "--model", run, nothing + ".jpg"}, nothing + ".jpg");
  check_failure({"detect", "--model", run, (folder / ".").string()}, (folder / ".").string());
  check_failure({"detect", "--model", run, photo, "--names", nothing}, nothing);
  check_failure({"eval", "--model", run, "--data", nothing}, nothing);
  check_failure({"eval", "--model", run, "--data", data, "--split", "holdout"}, "'holdout'");
  check_failure({"train", "--data", nothing}, nothing);
  check_failure({"train", "--data", data, "--from", nothing + ".weights", "--arch", "rook-nano"}, nothing + ".weights");
  check_failure({"train", "--data", data, "--arch", nothing + ".cfg"}, nothing + ".cfg");
  check_failure({"train", "--data", data, "--resume", (folder / ".").string()}, "last.safetensors");
  check_failure({"train", "--data", data, "--resume", (tiny_run().run / "best.safetensors").string()},
                "no state of a training");
  check_failure({"train", "--data", data, "--arch", "rook-nano", "--out", run}, run);
  check_failure({"inspect", "--model", nothing + ".cfg"}, nothing + ".cfg");
  check_failure({"weights", "info", model}, model);
  check_failure({"data", "check", nothing}, nothing);
  check_failure({"data", "check", data, "--merge", "rad=red"}, "rad");
}

TEST_CASE("command line: a convolution that is not there") {
  check_failure({"inspect", "--model", "rook-nano", "--conv", "fastest"}, "fastest");
}

TEST_CASE("command line: broken files are named") {
  const TempFolder folder;
  const fs::path photo = tiny_run().data / "test/images/photo-0.png", broken = folder / "broken.safetensors";
  ByteVector bytes = load(tiny_run().run / "best.safetensors");
  bytes.resize(bytes.size() / 2);
  save(broken, bytes);
  check_failure({"detect", "--model", broken.string(), photo.string()}, broken.string());
  bytes = load(photo);
  bytes.resize(bytes.size() / 2);
  save(folder / "half.png", bytes);
  check_failure({"detect", "--model", tiny_run().run.string(), (folder / "half.png").string()}, "half.png");
  append_text(folder / "typo.cfg", "[net]\nwidth=64\nheight=64\n\n[convolutional]\nfilterz=8\n");
  check_failure({"inspect", "--model", (folder / "typo.cfg").string()}, "typo.cfg:6");
}
