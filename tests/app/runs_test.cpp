// rook runs, rook compare, and going on with other classes, from end to end.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// The tiny data set with its boxes under other names, and a class more where `twice`: half of the red boxes as "rose".
void write_renamed(const fs::path& folder, bool twice) {
  io::Dataset dataset = io::read_dataset(tiny_run().data);
  dataset.classes = {"green", "blue", "red"};
  if (twice) dataset.classes.emplace_back("rose");
  int reds = 0;
  for (io::Split& split : dataset.splits)
    for (io::LabelledImage& image : split.images)
      for (io::LabelBox& box : image.boxes) box.cls = box.cls == 0 ? (twice && ++reds % 2 ? 3 : 2) : box.cls - 1;
  io::write_dataset(dataset, folder, "yolo");
}

}  // namespace

TEST_CASE("rook runs: a table and JSON") {
  const std::string table = output_of({"runs", tiny_run().run.string()});
  for (const char* text : {"mAP50", "minutes", "data", "cpu f32"}) CHECK_MESSAGE(shows(table, text), table);
  const nlohmann::json json =
      nlohmann::json::parse(output_of({"runs", (tiny_run().run / "..").string(), "--json", "-"}));
  REQUIRE(json.size() == 1);
  CHECK((json[0]["run"] == "run" && json[0]["epochs"] == 20 && json[0]["map50"].get<double>() > 0));
  const Output none = run_program({"runs", tiny_run().data.string()});
  CHECK((none.status == 1 && shows(none.err, "holds no runs")));
}

TEST_CASE("rook train --from a run: old classes are kept, forgetting is measured; rook compare shows both") {
  const TempFolder folder;
  write_renamed(folder / "more", true);
  Words words = train_words(folder / "more", folder / "again", "2");
  words.insert(words.end(), {"--from", tiny_run().run.string()});
  const std::string said = output_of(words);
  CHECK_MESSAGE(shows(said, "3 keep their weights, found by name; new: rose"), said);
  CHECK_MESSAGE(shows(said, "mAP50:95"), said);
  CHECK_MESSAGE(shows(said, "before, "), said);
  const nlohmann::json config = nlohmann::json::parse(text_of(folder / "again/config.json"));
  CHECK(config["train"]["recipe"] == "continue");
  const std::string metrics = text_of(folder / "again/metrics.jsonl");
  const nlohmann::json last = nlohmann::json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
  REQUIRE(last["type"] == "forgetting");
  const nlohmann::json before = nlohmann::json::parse(output_of(
      {"eval", "--model", tiny_run().run.string(), "--data", tiny_run().data.string(), "--size", "64", "--json", "-"}));
  CHECK(std::abs(last["before"]["map50"].get<double>() - before["map50"].get<double>()) <= 1e-6);
  CHECK(last["photos"] == 6);
  CHECK(last["after"]["per_class"].size() == last["before"]["per_class"].size());

  // The same classes in another order: nothing is new, and the first evaluation finds what the old run found.
  write_renamed(folder / "order", false);
  Words same = train_words(folder / "order", folder / "same", "1");
  std::replace(same.begin(), same.end(), std::string("0.003"), std::string("0.0000001"));  // of --lr
  same.insert(same.end(), {"--from", tiny_run().run.string()});
  const std::string ordered = output_of(same);
  CHECK_MESSAGE(shows(ordered, "3 keep their weights, found by name\n"), ordered);

  const fs::path page = folder / "compare.html", json = folder / "compare.json";
  const std::string table =
      output_of({"compare", tiny_run().run.string(), (folder / "same").string(), (folder / "again").string(), "--out",
                 page.string(), "--json", json.string(), "--resamples", "50"});
  CHECK_MESSAGE(shows(table, "against run"), table);
  const nlohmann::json compared = nlohmann::json::parse(text_of(json));
  REQUIRE(compared["runs"].size() == 3);
  CHECK(std::abs(compared["runs"][0]["evaluation"]["map50"].get<double>() - before["map50"].get<double>()) <= 1e-6);
  // A learning rate of next to nothing only moves the statistics of batch norm. With classes taken for each other next
  // to nothing would be left.
  REQUIRE(before["map50"].get<double>() > 0.1);
  CHECK(compared["runs"][1]["evaluation"]["map50"].get<double>() > before["map50"].get<double>() / 2);
  CHECK(shows(text_of(page), "Difference or chance"));
}

TEST_CASE("rook compare: on the photos that the first run was evaluated on") {
  const TempFolder folder;
  fs::copy(tiny_run().run, folder / "run");
  nlohmann::json config = nlohmann::json::parse(text_of(folder / "run/config.json"));
  config["valid"] = "train";
  save(folder / "run/config.json", ByteVector());
  append_text(folder / "run/config.json", config.dump());
  const std::string run = (folder / "run").string(), page = (folder / "x.html").string();
  const auto photos_of = [&](const Words& more) {
    Words words{"compare", run, "--out", page, "--resamples", "10"};
    words.insert(words.end(), more.begin(), more.end());
    return json_of(words)["data"].get<std::string>();
  };
  CHECK(shows(photos_of({}), "12 photos of "));
  CHECK(shows(photos_of({"--split", "valid"}), "6 photos of "));
}

TEST_CASE("rook compare: failures") {
  const TempFolder folder;
  const std::string run = tiny_run().run.string(), out = (folder / "x.html").string();
  const Output no_run = run_program({"compare", run, (folder / ".").string(), "--out", out});
  CHECK((no_run.status == 1 && shows(no_run.err, "config.json")));
  const Output no_split = run_program({"compare", run, run, "--split", "holdout", "--out", out});
  CHECK((no_split.status == 1 && shows(no_split.err, "'holdout'")));
  CHECK(!fs::exists(folder / "x.html"));
  CHECK(run_program({"compare"}).status == 2);
}
