// Damaged run folders: config.json and metrics.jsonl cut off at every byte and with flipped bits. Whatever comes, it is
// an Error that names the file, or a run whose figures can be shown.
#include "model/run_folder.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/compare.h"
#include "model/train_config.h"
#include "model/zoo.h"
#include "tests/io/picture_support.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

const std::string kMetrics =
    R"({"type":"train","iteration":1,"epoch":0.5,"loss":9.5,"lr":0.001,"seconds":10})"
    "\n"
    R"({"type":"eval","iteration":2,"epoch":1,"map50":0.5,"map50_95":0.2,"precision":0.7,"recall":0.6,"seconds":60})"
    "\n";

std::string config_text() {
  const nlohmann::json config = {{"data", "/photos/chess"},
                                 {"merge", nlohmann::json::array({"a=b", "c=d"})},
                                 {"train_list", "v1.txt"},
                                 {"valid", "valid"},
                                 {"started", "2025-01-31 14:05"},
                                 {"device", "cpu bf16"},
                                 {"classes", nlohmann::json::array({"rook", "king"})},
                                 {"train", to_json(recipe("transfer", find_cfg("rook-nano")))}};
  return config.dump();
}

// Reads the run and does with it what the commands do; "" or the message.
std::string use(const std::filesystem::path& folder) {
  return error_of([&] {
    const Run run = read_run(folder);
    const RunSummary summary = summarise(run);
    CHECK(!to_text(std::span(&summary, 1)).empty());
    CHECK(!to_json(summary).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).empty());
    (void)first_reached(run, 0.5);
    (void)run.config.value("data", "");
    (void)run.config.value("from", "");
    (void)run.config.value("valid", "valid");
    (void)run.config.value("merge", std::vector<std::string>());
    const auto train = run.config.value("train", nlohmann::json::object());
    CHECK((train.value("width", 0) >= 0 && train.value("height", 0) >= 0));
    Comparison comparison;
    comparison.targets = {0.5};
    comparison.runs.emplace_back().run = run;
    CHECK(!compare_html(comparison).empty());
  });
}

void check_message(const std::string& message, const std::filesystem::path& file) {
  if (message.empty()) return;
  CHECK_MESSAGE(message.starts_with(file.string() + ": "), message);
  CHECK(message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("run folder: a damaged config.json is named, or still makes sense") {
  const TempFolder folder;
  const auto file = folder / "config.json";
  const std::string text = config_text();
  write(folder / "metrics.jsonl", kMetrics);
  write(file, text);
  REQUIRE(use(folder / ".") == "");
  for (std::size_t length = 0; length < text.size(); ++length) {
    write(file, std::string_view(text).substr(0, length));
    const std::string message = use(folder / ".");
    CHECK(!message.empty());
    CHECK_MESSAGE(message.find("config.json: is not a JSON object") != std::string::npos, message);
  }
  for (std::size_t bit = 0; bit < 8 * text.size(); bit += kSanitized ? 37 : 7) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write(file, flipped);
    (void)use(folder / ".");  // no exception but Error
  }
}

TEST_CASE("run folder: values of another type are named") {
  const TempFolder folder;
  const auto file = folder / "config.json";
  const nlohmann::json good = nlohmann::json::parse(config_text());
  const nlohmann::json strange[] = {1, -1.5, true, nullptr, {1, 2}, {{"a", 1}}, "text"};
  for (const auto& [key, value] : good.items())
    for (const nlohmann::json& other : strange) {
      if (other.type() == value.type()) continue;
      nlohmann::json bad = good;
      bad[key] = other;
      write(file, bad.dump());
      const std::string message = use(folder / ".");
      check_message(message, folder / "./config.json");
      CHECK_MESSAGE(message.find("'" + key + "' is not ") != std::string::npos, message);
    }
  for (const char* key : {"width", "height", "recipe"})
    for (const nlohmann::json& other : {nlohmann::json(-3), nlohmann::json(1e300), nlohmann::json::array()}) {
      nlohmann::json bad = good;
      bad["train"][key] = other;
      write(file, bad.dump());
      CHECK(use(folder / ".").find(std::string("'") + key + "' is not ") != std::string::npos);
    }
}

TEST_CASE("run folder: damaged lines of metrics.jsonl are left out, the others count") {
  const TempFolder folder;
  const auto file = folder / "metrics.jsonl";
  write(folder / "config.json", config_text());
  for (std::size_t length = 0; length <= kMetrics.size(); ++length) {
    write(file, std::string_view(kMetrics).substr(0, length));
    REQUIRE(use(folder / ".") == "");
    const std::size_t whole_lines =
        (length >= kMetrics.find('\n') ? 1u : 0u) + (length + 1 >= kMetrics.size() ? 1u : 0u);
    CHECK(read_run(folder / ".").metrics.size() == whole_lines);
  }
  for (std::size_t bit = 0; bit < 8 * kMetrics.size(); bit += kSanitized ? 3 : 1) {
    std::string flipped = kMetrics;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write(file, flipped);
    CHECK(use(folder / ".") == "");
  }
  for (const char* line :
       {R"({"type":5,"epoch":"x","map50":[],"seconds":{}})", R"({"type":"eval","map50":"high"})",
        R"({"type":"eval","map50":1e999})", "[1]", "7", "\xff\xfe", R"({"type":"eval","map50":null})"}) {
    write(file, std::string(line) + "\n" + kMetrics);
    CHECK(use(folder / ".") == "");
    CHECK(summarise(read_run(folder / ".")).map50 == 0.5);
  }
}

TEST_CASE("run folder: the summary is of the evaluation that the best checkpoint was chosen by") {
  const TempFolder folder;
  std::string metrics = kMetrics;
  metrics += R"({"type":"eval","iteration":4,"epoch":2,"map50":0.9,"map50_95":0.4,"seconds":90})"
             "\n"
             R"({"type":"eval","iteration":6,"epoch":3,"map50":0.8,"map50_95":0.6,"seconds":120})"
             "\n";
  write(folder / "metrics.jsonl", metrics);
  nlohmann::json config = nlohmann::json::parse(config_text());
  const auto best_epoch = [&] {
    write(folder / "config.json", config.dump());
    return summarise(read_run(folder / ".")).best_epoch;
  };
  CHECK(best_epoch() == 2);
  config["train"]["best_by"] = "map50_95";
  CHECK(best_epoch() == 3);
  config["train"].erase("best_by");  // a run of before there was a choice
  CHECK(best_epoch() == 2);
}
