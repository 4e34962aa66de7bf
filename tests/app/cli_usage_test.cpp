// What cannot be meant is refused with its name: misspelt words, numbers out of range; output that cannot be written.
#include "tests/app/cli_support.h"

using namespace rook::test;

namespace {

// Bad usage: status 2, and a message that says `what`.
void check_usage(const Words& words, const std::string& what) {
  const Output output = run_program(words);
  INFO("rook ", joined(words), "\n", output.err);
  CHECK(output.status == 2);
  CHECK(shows(output.err, what));
  CHECK(output.out.empty());
  CHECK(output.err.size() < 400);
}

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// The program with its standard output going to `device`.
Output run_to(const std::string& device, const Words& words) {
  const TempFolder folder;
  std::string line;
  for (const std::string& word : command_of(words)) line += "'" + word + "' ";
  Child child(folder / ".", {"/bin/sh", "-c", line + "> " + device}, kQuietThreads);
  const int status = child.wait();
  return {status, child.out(), without_device(child.err())};
}

}  // namespace

TEST_CASE("command line: a misspelt word is named before anything is said to be missing") {
  check_usage({"trian", "--data", "x"}, "rook: no command 'trian' (did you mean train?)");
  check_usage({"data", "chek", "x"}, "rook: no command 'chek' (did you mean check?); rook data --help");
  check_usage({"train", "--dta", "x"}, "rook: no option '--dta' (did you mean --data?); rook train --help");
  check_usage({"train", "--dta=x"}, "no option '--dta' (did you mean --data?)");
  check_usage({"data", "check", "x", "--sampels", "3"}, "no option '--sampels' (did you mean --samples?)");
  check_usage({"--colour"}, "no option '--colour'");
  check_usage({"paint"}, "no command 'paint'; rook --help");
  // What is not misspelt is said as before.
  check_usage({"train"}, "--data is required");
  CHECK(output_of({"--help"}) == output_of({"-h"}));
}

TEST_CASE("command line: a network's size is a multiple of 32") {
  const std::vector<Words> commands{{"detect", "--model", "m", "p.jpg"},
                                    {"serve", "--model", "m"},
                                    {"eval", "--model", "m", "--data", "d"},
                                    {"train", "--data", "d"},
                                    {"label", "out", "p.jpg", "--model", "m"},
                                    {"inspect", "--model", "rook-nano"},
                                    {"diff", "p.jpg", "--model", "m"},
                                    {"tune", "--arch", "rook-nano"},
                                    {"bench", "net"},
                                    {"bench", "train"},
                                    {"bench", "ops"}};
  for (const Words& command : commands)
    for (const char* size : {"100", "0", "-32", "64.5", "1000000", "nan", "big"})
      check_usage(with(command, {"--size", size}), "--size");
  check_usage(with(commands.front(), {"--size", "100"}), "100 is not a multiple of 32 from 32 to");
}

TEST_CASE("command line: numbers that cannot be meant are refused, saying which could") {
  const Words train{"train", "--data", "d"};
  const std::vector<std::pair<std::string, std::string>> numbers{
      {"--lr", "-1"},       {"--lr", "nan"},          {"--momentum", "2"},    {"--ema", "2"},
      {"--decay", "-1"},    {"--clip", "-1"},         {"--warmup", "-5"},     {"--freeze", "-3"},
      {"--patience", "-1"}, {"--eval-every", "-1"},   {"--eval-from", "-1"},  {"--box-weight", "-1"},
      {"--mosaic", "3"},    {"--mosaic-until", "2"},  {"--epochs", "0"},      {"--epochs", "inf"},
      {"--batch", "0"},     {"--subdivisions", "-1"}, {"--multi-scale", "0"}, {"--turn", "-1"}};
  for (const auto& [name, value] : numbers) check_usage(with(train, {name, value}), name);
  check_usage(with(train, {"--epochs", "0"}), "0 is not a number from 0.001 to 1000000");
  const Words detect{"detect", "--model", "m", "p.jpg"};
  for (const char* value : {"-1", "nan", "0"}) check_usage(with(detect, {"--bn-eps", value}), "--bn-eps");
  check_usage(with(detect, {"--conf", "nan"}), "--conf");
  check_usage({"bench", "net", "--classes", "-5"}, "--classes");
  check_usage({"tune", "--arch", "rook-nano", "--classes", "-5"}, "--classes");
  check_usage({"weights", "partial", "m", "0", "out"}, "layers");
}

TEST_CASE("rook train: what does not fit the network or the batch is said in a dry run") {
  const Words train = with(train_words(tiny_run().data, "nowhere", "1"), {"--dry-run"});
  check_usage(with(train, {"--subdivisions", "3"}), "--subdivisions 3: does not divide the batch of 4");
  check_usage(with(train, {"--freeze", "999"}), "--freeze 999: the network has");
  CHECK(run_program(with(train, {"--subdivisions", "2"})).status == 0);
  CHECK(!fs::exists("nowhere"));
}

TEST_CASE("rook train --augment: keys that there are not and numbers that cannot be, by name") {
  const Words train = with(train_words(tiny_run().data, "nowhere", "1"), {"--dry-run"});
  const auto refused = [&](const char* text, const char* why) { check_usage(with(train, {"--augment", text}), why); };
  refused("flips=0", "there is no 'flips' (did you mean flip?)");
  refused("zoom=0.1", "there is no 'zoom'");
  refused("flip=0,", "there is no ''");
  refused("flip", "--augment flip: write flip=NUMBER");
  refused("flip=0,hue=x", "--augment hue=x: write hue=NUMBER");
  refused("flip=2", "flip is 2; it must be at least 0 and at most 1");
  refused("shift=1.1", "shift is 1.1; it must be at least 0 and at most 1");
  refused("flip=0,flip=1", "flip stands twice");
  refused("", "--augment");
  check_usage(with(train, {"--preview", ""}), "--preview");
  refused("scale=nan", "scale is nan");
  refused("mosaic=0", "--mosaic");
  CHECK(run_program(with(train, {"--augment", "flip=0,hue=0.1"})).status == 0);
}

TEST_CASE("rook eval: boxes that precision and recall need are not left out") {
  const Words eval{"eval", "--model", tiny_run().run.string(), "--data", tiny_run().data.string()};
  check_usage(with(eval, {"--floor", "0.5"}), "--floor 0.5: lies above --conf 0.25");
  check_usage(with(eval, {"--floor", "2"}), "--floor");
  CHECK(run_program(with(eval, {"--floor", "0.25"})).status == 0);
}

TEST_CASE("command line: output that cannot be written is a failure") {
  if (!fs::exists("/dev/full")) return;
  const std::string run = tiny_run().run.string(), data = tiny_run().data.string();
  const std::vector<Words> all{{"--help"},
                               {"--version"},
                               {"detect", "--model", run, data + "/test/images", "--json", "-"},
                               {"detect", "--model", run, data + "/test/images"},
                               {"eval", "--model", run, "--data", data},
                               {"data", "check", data},
                               {"runs", run}};
  for (const Words& words : all) {
    const Output output = run_to("/dev/full", words);
    INFO("rook ", joined(words), "\n", output.err);
    CHECK(output.status == 1);
    CHECK(shows(output.err, "rook: "));
    CHECK((shows(output.err, "cannot be written") || shows(output.err, "cannot write")));
    CHECK(run_to("/dev/null", words).status == 0);
  }
}
