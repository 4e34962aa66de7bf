// Run folders read back, what runs disagree on, and the page about it.
#include "model/compare.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "model/detect_split.h"
#include "tests/io/picture_support.h"

using namespace rook;
using namespace rook::test;
namespace fs = std::filesystem;

namespace {

const std::string kConfig =
    R"({"data": "/photos/chess/", "merge": ["a=b"], "train_list": "lists/v1.txt", "started": "2025-01-31 14:05",)"
    R"( "device": "cpu bf16", "train": {"recipe": "transfer", "epochs": 4, "schedule": {"base": 0.001}}})";
const std::string kTwoEvaluations =
    R"({"type": "train", "epoch": 0.5, "loss": 9, "seconds": 10})"
    "\n"
    R"({"type": "eval", "epoch": 1, "map50": 0.5, "map50_95": 0.2, "precision": 0.7, "recall": 0.6, "seconds": 60})"
    "\nno json\n"
    R"({"type": "eval", "epoch": 2, "map50": 0.9, "map50_95": 0.5, "precision": 0.8, "recall": 0.9, "seconds": 120})"
    "\n"
    R"({"type": "eval", "epoch": 3, "map50": 0.8, "map50_95": 0.6, "precision": 0.9, "recall": 0.9, "seconds": 180})"
    "\n{\"type\": \"train\", \"epoch\": 3.5, \"seco";

void check_xml(const std::string& page) {
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(page.data(), page.size());
  CHECK_MESSAGE(result.status == pugi::status_ok, result.description(), " near ",
                page.substr(static_cast<std::size_t>(result.offset), 80));
  CHECK(page.find("http") == std::string::npos);  // nothing from outside
}

Detection detection(float x, int cls, float score) {
  Detection d{};
  d.x = x;
  d.y = 0.5f;
  d.w = d.h = 0.2f;
  d.cls = cls;
  d.score = score;
  return d;
}

}  // namespace

TEST_CASE("run folder: what it comes to") {
  const TempFolder folder;
  write(folder / "runs/one/config.json", kConfig);
  write(folder / "runs/one/metrics.jsonl", kTwoEvaluations);
  write(folder / "runs/two/config.json", "{}");
  write(folder / "runs/notes/readme.txt", "no run");
  const auto found = find_runs(folder / "runs");
  REQUIRE(found.size() == 2);
  CHECK(find_runs(folder / "runs/one") == std::vector<fs::path>{folder / "runs/one"});
  const Run run = read_run(found[0]);
  CHECK(run.metrics.size() == 4);
  const RunSummary s = summarise(run);
  CHECK((s.name == "one" && s.data == "chess, list v1" && s.start == "2025-01-31 14:05" && s.device == "cpu bf16"));
  CHECK((s.evaluated && s.map50 == 0.9 && s.map50_95 == 0.5 && s.precision == 0.8 && s.recall == 0.9));
  CHECK((s.best_epoch == 2 && s.epochs == 3 && s.of == 4 && s.minutes == 3));
  CHECK((first_reached(run, 0.5)->minutes == 1 && first_reached(run, 0.85)->epoch == 2));
  CHECK(!first_reached(run, 0.91));
  const RunSummary empty = summarise(read_run(found[1]));
  CHECK((!empty.evaluated && empty.minutes == 0 && empty.device.empty()));
  const std::string table = to_text(std::vector{s, empty});
  CHECK(table.find("3.0/4") != std::string::npos);
  CHECK(table.find("0.9000") != std::string::npos);
  CHECK(std::count(table.begin(), table.end(), '\n') == 3);
  CHECK(!to_json(empty).contains("map50"));

  CHECK(error_of([&] { find_runs(folder / "runs/notes"); }).find("no runs") != std::string::npos);
  CHECK(error_of([&] { find_runs(folder / "nowhere"); }).find("no runs") != std::string::npos);
  CHECK(error_of([&] { read_run(folder / "runs/notes"); }).find("no config.json") != std::string::npos);
  for (const char* broken : {"", "[1]", "{\"a\":"}) {
    write(folder / "runs/two/config.json", broken);
    CHECK(error_of([&] { read_run(found[1]); }).find("JSON object") != std::string::npos);
  }
}

TEST_CASE("compare: who shows what on a photo") {
  const std::vector<Truth> truths{
      {0.2f, 0.5f, 0.2f, 0.2f, 0}, {0.5f, 0.5f, 0.2f, 0.2f, 1}, {0.8f, 0.5f, 0.2f, 0.2f, 0}};
  const ImageResult one{.name = "p",
                        .width = 10,
                        .height = 10,
                        .detections = {detection(0.2f, 0, 0.9f), detection(0.5f, 1, 0.8f), detection(0.8f, 1, 0.7f),
                                       detection(0.8f, 0, 0.1f)},
                        .truths = truths};
  ImageResult two = one;
  two.detections = {detection(0.21f, 0, 0.9f), detection(0.5f, 0, 0.6f), detection(0.8f, 0, 0.5f)};
  const auto d = disagreements({&one, &two}, 0.25);
  REQUIRE(d.size() == 2);
  CHECK((d[0].agreed == std::vector{0} && d[1].agreed == std::vector{0}));
  CHECK((d[0].right == std::vector{1} && d[0].wrong == std::vector{2} && d[0].missed == std::vector{2}));
  CHECK((d[1].right == std::vector{2} && d[1].wrong == std::vector{1} && d[1].missed == std::vector{1}));
  const auto alone = disagreements({&one}, 0.25);
  CHECK((alone[0].agreed.size() == 3 && alone[0].missed.empty()));
}

TEST_CASE("compare: nobody is wrong in an ignored region, and who finds a box there is right") {
  const std::vector<Truth> truths = {{0.2f, 0.5f, 0.2f, 0.2f, 0}};
  ImageResult one{.name = "a", .width = 100, .height = 100, .detections = {}, .truths = truths};
  // All of the photo is a crowd of class 0; an object of class 1 is difficult.
  one.ignored = {{0.5f, 0.5f, 1, 1, 0, true}, {0.8f, 0.5f, 0.2f, 0.2f, 1, false}};
  ImageResult two = one;
  one.detections = {detection(0.2f, 0, 0.9f), detection(0.5f, 0, 0.8f), detection(0.8f, 1, 0.7f),
                    detection(0.5f, 1, 0.6f)};
  const auto d = disagreements({&one, &two}, 0.25);
  CHECK(d[0].right == std::vector{0});
  CHECK(d[0].agreed == std::vector{1, 2});
  CHECK(d[0].wrong == std::vector{3});  // as far from the difficult object as a box can be
  CHECK(d[1].missed == std::vector{0});
}

TEST_CASE("compare: detections by the names of classes") {
  std::vector<ImageResult> results(1);
  results[0].detections = {detection(0.1f, 0, 0.5f), detection(0.2f, 1, 0.5f), detection(0.3f, 2, 0.5f)};
  rename_classes(results, {"rook", "cat", "king"}, {"king", "queen", "rook"});
  REQUIRE(results[0].detections.size() == 2);
  CHECK((results[0].detections[0].cls == 2 && results[0].detections[1].cls == 0));
}

TEST_CASE("compare: the page is well-formed, whatever names there are") {
  const TempFolder folder;
  Comparison comparison{.data = "<photos> & \"more\"", .classes = {"<a>", "b&c"}};
  io::Image photo{.width = 40, .height = 30, .pixels = std::vector<std::uint8_t>(3600, 100)};
  for (int i = 0; i < 3; ++i) {
    comparison.files.push_back((folder / ("p" + std::to_string(i) + ".png")).string());
    io::write_image(comparison.files.back(), photo);
  }
  for (const char* name : {"run <1>", "run&2"}) {
    write(folder / name / "config.json", kConfig);
    write(folder / name / "metrics.jsonl", kTwoEvaluations);
    ComparedRun run{.name = name, .run = read_run(folder / name)};
    for (int i = 0; i < 3; ++i)
      run.results.push_back({.name = "p<" + std::to_string(i) + ">",
                             .width = 40,
                             .height = 30,
                             .detections = {detection(0.5f, comparison.runs.empty() ? 0 : i % 2, 0.9f)},
                             .truths = {{0.5f, 0.5f, 0.2f, 0.2f, 0}}});
    comparison.runs.push_back(std::move(run));
  }
  comparison.runs[1].run.config["train"]["schedule"]["base"] = 0.5;
  complete(comparison, 0.25, 100, 1);
  CHECK(comparison.targets == std::vector{0.5, 0.8, 0.9});
  CHECK(comparison.runs[0].evaluation.map50 == doctest::Approx(1));
  CHECK(comparison.runs[1].against_first.difference < -0.2);
  const std::string page = compare_html(comparison);
  check_xml(page);
  for (const char* words : {"run &lt;1&gt;", "run&amp;2", "b&amp;c", "mAP50 by minute", "train.schedule.base", "0.5",
                            "p&lt;1&gt;", "1 wrong of its own", "1 missed", "min to 90"})
    CHECK_MESSAGE(page.find(words) != std::string::npos, words);
  CHECK(page.find("recipe") == std::string::npos);  // which they share
  const std::string text = to_text(comparison);
  CHECK(text.find("run&2") != std::string::npos);
  const nlohmann::json json = to_json(comparison);
  CHECK(json["runs"][1]["against_first"]["map50"].get<double>() < -0.2);
  CHECK(json["runs"][0]["reached"]["0.9"]["minutes"] == 2);

  comparison.runs.pop_back();  // one alone: curves and figures
  complete(comparison, 0.25, 100, 1);
  check_xml(compare_html(comparison));
}
