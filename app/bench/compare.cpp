// rook bench compare: what got faster or slower between two files of timings, beyond the noise of both.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/bench/bench.h"
#include "app/checks.h"
#include "base/error.h"
#include "base/json_reason.h"

namespace rook::app {
namespace {

struct BenchCompareFlags {
  std::string before, after, json;
  double percent = 5;
};

// The middle half of the samples of a timing; of several rounds the extremes of their medians.
struct Measured {
  double median, low, high;
};
using Timings = std::map<std::string, Measured>;

double number(const nlohmann::json& row, const char* key) {
  const double value = row.at(key).get<double>();
  if (!(value > 0)) throw Error(fmt::format("{} is {}, not a time", key, value));
  return value;
}

// What a row is called: whatever says what was measured.
std::string name_of_row(const nlohmann::json& file, const nlohmann::json& row) {
  std::string name;
  for (const char* key : {"bench", "network", "arch", "precision", "op", "case", "batch", "type", "row", "classes"}) {
    const nlohmann::json& from = row.contains(key) ? row : file;
    if (!from.contains(key)) continue;
    const nlohmann::json& value = from.at(key);
    name += (name.empty() ? "" : " ") + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return name;
}

Measured measured(const nlohmann::json& row) {
  const bool quartiles = row.contains("ms_q25");
  return {number(row, "ms_median"), number(row, quartiles ? "ms_q25" : "ms_min"),
          number(row, quartiles ? "ms_q75" : "ms_max")};
}

void add(Timings& timings, const std::string& name, const Measured& m) {
  if (!timings.emplace(name, m).second) throw Error(fmt::format("'{}' stands there twice", name));
}

// rook's own files have "rows"; those of bench/*.py "measured": {contestant: [figures of each round]}.
Timings timings_of(const nlohmann::json& file) {
  Timings timings;
  if (file.contains("rows"))
    for (const nlohmann::json& row : file.at("rows")) add(timings, name_of_row(file, row), measured(row));
  if (file.contains("measured"))
    for (const auto& [contestant, rounds] : file.at("measured").items()) {
      std::vector<double> medians;
      for (const nlohmann::json& round : rounds) medians.push_back(number(round, "ms_median"));
      if (medians.empty()) continue;
      std::sort(medians.begin(), medians.end());
      add(timings, name_of_row(file, {}) + " " + contestant,
          {medians[medians.size() / 2], medians.front(), medians.back()});
    }
  if (file.contains("parts"))
    for (const nlohmann::json& part : file.at("parts")) timings.merge(timings_of(part));
  return timings;
}

Timings read(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) throw Error(fmt::format("{}: cannot be read", path));
  try {
    const Timings timings = timings_of(nlohmann::json::parse(stream));
    if (timings.empty()) throw Error("holds no timings of rook bench or bench/*.py");
    return timings;
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: is no file of timings: {}", path, json_reason(error)));
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", path, error.what()));
  }
}

void run(const BenchCompareFlags& o) {
  const Timings before = read(o.before), after = read(o.after);
  nlohmann::json rows = nlohmann::json::array();
  int same = 0, regressions = 0, shared = 0;
  for (const auto& [name, a] : before) {
    const auto found = after.find(name);
    if (found == after.end()) continue;
    ++shared;
    const Measured& b = found->second;
    const double change = 100 * (b.median / a.median - 1);
    const bool slower = b.low > a.high, faster = b.high < a.low;  // the ranges do not touch
    const bool regression = slower && change > o.percent;
    regressions += regression;
    const char* const verdict = regression ? "regression" : slower ? "slower" : faster ? "faster" : "same";
    rows.push_back({{"name", name},
                    {"before_ms", a.median},
                    {"after_ms", b.median},
                    {"change_percent", change},
                    {"verdict", verdict}});
    if (!slower && !faster)
      ++same;
    else if (o.json != "-")
      fmt::print("{:>+7.1f} %  {:<10} {:>10.4f} ms -> {:>10.4f} ms  {}\n", change, verdict, a.median, b.median, name);
  }
  if (shared == 0) throw Error(fmt::format("{} and {} have no timing in common", o.before, o.after));
  if (o.json != "-")
    fmt::print(
        "{} timings in both files ({} only before, {} only after): {} within noise, {} slower by more than {} %\n",
        shared, before.size() - static_cast<std::size_t>(shared), after.size() - static_cast<std::size_t>(shared), same,
        regressions, o.percent);
  if (!o.json.empty()) write_json(o.json, {{"percent", o.percent}, {"regressions", regressions}, {"rows", rows}});
  if (regressions > 0) exit_status = 1;
}

}  // namespace

void add_bench_compare(CLI::App& bench) {
  auto o = std::make_shared<BenchCompareFlags>();
  CLI::App* c = bench.add_subcommand("compare", "what got faster or slower between two files of timings");
  c->add_option("before", o->before, "JSON of rook bench or of bench/results")->required();
  c->add_option("after", o->after, "the same, later")->required();
  c->add_option("--percent", o->percent, "what counts as a regression, which ends with exit status 1")
      ->capture_default_str()
      ->check(between(0.0, 1e6));
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->footer(
      "A change counts when the middle halves of the samples do not touch (of files with rounds: their extremes).\n"
      "Example:\n  rook bench compare before.json after.json --percent 5");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
