#include "model/run_folder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/report_html.h"
#include "model/train_config.h"

namespace fs = std::filesystem;

namespace rook {
namespace {

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool is_evaluation(const nlohmann::json& line) {
  return text_of(line, "type") == "eval" && number_of(line, "map50");
}

// Written by the training; of older runs, when config.json was.
std::string start_of(const Run& run) {
  if (const std::string started = text_of(run.config, "started"); !started.empty()) return started;
  struct stat info {};
  if (::stat((run.folder / "config.json").c_str(), &info) != 0) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(info.st_mtime));
}

// "chess, list v1_train" for a folder and a list of photos in it.
std::string data_of(const nlohmann::json& config) {
  fs::path data = text_of(config, "data");
  if (!data.has_filename()) data = data.parent_path();
  const std::string list = fs::path(text_of(config, "train_list")).stem().string();
  std::string name = data.filename().string();
  // A version of a data set lies in the folder of that.
  if (name.size() > 1 && name[0] == 'v' && name.find_first_not_of("0123456789", 1) == std::string::npos)
    name = (data.parent_path().filename() / name).string();
  return list.empty() ? name : fmt::format("{}, list {}", name, list);
}

std::string cell(std::string text, std::size_t width, bool right) {
  // Letters, not bytes: what continues a UTF-8 sequence takes no room.
  const auto letters = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  const std::string room(width > letters ? width - letters : 0, ' ');
  return right ? room + text : text + room;
}

bool is_text_list(const nlohmann::json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const nlohmann::json& item) { return item.is_string(); });
}

bool is_side(const nlohmann::json& value) {
  constexpr int kMost = 65536;
  return value.is_number_integer() && value >= 0 && value <= kMost;
}

// What others read of a configuration is of the type they expect, or not there.
void check_config(const nlohmann::json& config, const fs::path& file) {
  const auto check = [&](const nlohmann::json& object, const char* key, bool (*fits)(const nlohmann::json&),
                         const char* what) {
    const auto found = object.find(key);
    if (found != object.end() && !fits(*found))
      throw Error(fmt::format("{}: '{}' is not {}; the file is damaged", file.string(), key, what));
  };
  const auto is_text = [](const nlohmann::json& value) { return value.is_string(); };
  for (const char* key : {"arch", "cfg", "data", "device", "from", "started", "train_list", "valid"})
    check(config, key, is_text, "a text");
  for (const char* key : {"classes", "merge"}) check(config, key, is_text_list, "a list of texts");
  for (const char* key : {"keep_unused", "missing_is_negative"})
    check(
        config, key, [](const nlohmann::json& value) { return value.is_boolean(); }, "true or false");
  check(
      config, "train", [](const nlohmann::json& value) { return value.is_object(); }, "an object");
  if (!config.contains("train")) return;
  check(config["train"], "recipe", is_text, "a text");
  for (const char* key : {"width", "height"}) check(config["train"], key, is_side, "a number of pixels");
}

}  // namespace

Run read_run(const fs::path& folder) {
  Run run{.folder = folder, .config = {}, .metrics = {}};
  const fs::path file = folder / "config.json";
  std::ifstream config(file);
  if (!config) throw Error(fmt::format("{}: holds no config.json, so it is no run of rook", folder.string()));
  run.config = nlohmann::json::parse(config, nullptr, false);
  if (!run.config.is_object()) throw Error(fmt::format("{}: is not a JSON object", file.string()));
  check_config(run.config, file);
  std::ifstream metrics(folder / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object()) run.metrics.push_back(std::move(json));
  }
  return run;
}

std::vector<fs::path> find_runs(const fs::path& where) {
  const auto is_run = [](const fs::path& folder) { return fs::is_regular_file(folder / "config.json"); };
  if (is_run(where)) return {where};
  std::vector<fs::path> found;
  if (fs::is_directory(where))
    for (const auto& entry : fs::directory_iterator(where))
      if (is_run(entry.path())) found.push_back(entry.path());
  if (found.empty())
    throw Error(fmt::format("{}: holds no runs; name a run folder, or a folder of them", where.string()));
  std::sort(found.begin(), found.end());
  return found;
}

RunSummary summarise(const Run& run) {
  RunSummary s;
  const fs::path folder = fs::absolute(run.folder).lexically_normal();
  s.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  s.data = data_of(run.config);
  s.device = text_of(run.config, "device");
  s.start = start_of(run);
  const auto train = run.config.find("train");
  bool by_map50 = true;
  if (train != run.config.end()) {
    s.recipe = text_of(*train, "recipe");
    s.of = number_of(*train, "epochs").value_or(0);
    by_map50 = text_of(*train, "best_by") != rook::name_of(BestBy::map50_95);
  }
  for (const nlohmann::json& line : run.metrics) {
    s.epochs = std::max(s.epochs, number_of(line, "epoch").value_or(0));
    s.minutes = std::max(s.minutes, number_of(line, "seconds").value_or(0) / 60);
    if (!is_evaluation(line)) continue;
    const double map50 = *number_of(line, "map50"), map50_95 = number_of(line, "map50_95").value_or(0);
    if (s.evaluated && (by_map50 ? map50 <= s.map50 : map50_95 <= s.map50_95)) continue;
    s.evaluated = true;
    s.map50 = map50;
    s.map50_95 = map50_95;
    s.precision = number_of(line, "precision").value_or(0);
    s.recall = number_of(line, "recall").value_or(0);
    s.best_epoch = number_of(line, "epoch").value_or(0);
  }
  return s;
}

nlohmann::json to_json(const RunSummary& s) {
  nlohmann::json json = {{"run", s.name},      {"data", s.data},    {"start", s.start},     {"recipe", s.recipe},
                         {"epochs", s.epochs}, {"of_epochs", s.of}, {"minutes", s.minutes}, {"device", s.device}};
  if (s.evaluated)
    json.update({{"map50", s.map50},
                 {"map50_95", s.map50_95},
                 {"precision", s.precision},
                 {"recall", s.recall},
                 {"best_epoch", s.best_epoch}});
  return json;
}

std::string to_text(std::span<const RunSummary> summaries) {
  std::vector<RunSummary> sorted(summaries.begin(), summaries.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const RunSummary& a, const RunSummary& b) { return a.start < b.start; });
  std::vector<std::vector<std::string>> rows{
      {"run", "data", "start", "epochs", "mAP50", "mAP50:95", "precision", "recall", "minutes", "device"}};
  for (const RunSummary& s : sorted) {
    const auto share = [&](double value) { return s.evaluated ? fmt::format("{:.4f}", value) : std::string("-"); };
    const std::string epochs = s.of > 0 && s.epochs < s.of - 1e-6 ? fmt::format("{:.1f}/{:.4g}", s.epochs, s.of)
                                                                  : fmt::format("{:.4g}", s.epochs);
    rows.push_back({s.name, s.data, s.start, epochs, share(s.map50), share(s.map50_95), share(s.precision),
                    share(s.recall), fmt::format("{:.1f}", s.minutes), s.device.empty() ? "-" : s.device});
  }
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], cell(row[i], 0, false).size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += (i ? "  " : "") + cell(row[i], widths[i], i >= 3 && i + 1 < row.size());
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::optional<Reached> first_reached(const Run& run, double map50) {
  for (const nlohmann::json& line : run.metrics)
    if (is_evaluation(line) && *number_of(line, "map50") >= map50)
      return Reached{.epoch = number_of(line, "epoch").value_or(0),
                     .minutes = number_of(line, "seconds").value_or(0) / 60};
  return std::nullopt;
}

}  // namespace rook
