// rook runs: what was trained, in one table.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/common.h"
#include "model/run_folder.h"

namespace rook::app {
namespace {

struct RunsFlags {
  std::vector<std::string> folders{"runs"};
  std::string json;
};

void run(const RunsFlags& o) {
  std::vector<RunSummary> summaries;
  nlohmann::json json = nlohmann::json::array();
  std::vector<std::string> damaged;
  const auto add = [&](const std::filesystem::path& folder) {
    try {
      summaries.push_back(summarise(read_run(folder)));
      json.push_back(to_json(summaries.back()));
    } catch (const Error& error) {
      damaged.emplace_back(error.what());
    }
  };
  for (const std::string& where : o.folders)
    for (const auto& folder : find_runs(where)) add(folder);
  if (summaries.empty()) throw Error(damaged.front());
  for (const std::string& what : damaged) fmt::print(stderr, "left out: {}\n", what);
  if (!o.json.empty()) write_json(o.json, json);
  if (o.json != "-") fmt::print("{}", to_text(summaries));
}

}  // namespace

void add_runs(CLI::App& app) {
  auto o = std::make_shared<RunsFlags>();
  CLI::App* c = app.add_subcommand("runs", "list what was trained, with its figures");
  c->add_option("folders", o->folders, "run folders, or folders of them")->capture_default_str();
  c->add_option("--json", o->json, "write the table as JSON to a file, or to standard output (-)");
  c->footer(
      "Example:\n  rook runs\nFigures are those of the evaluation with the highest mAP50 during the training; minutes "
      "count from its start to its last line.");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
