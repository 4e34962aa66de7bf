// rook compare: runs beside each other, on the same photos.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "app/checks.h"
#include "app/common.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "model/compare.h"

namespace rook::app {
namespace {

struct CompareFlags {
  std::vector<std::string> runs;
  DataOptions data;
  ComputeOptions compute;
  std::string out = "compare.html", json;
  std::vector<double> targets;
  double conf = 0.25;
  int resamples = 1000;
  std::uint64_t seed = 1;
  bool live = false, other_split = false;  // other_split: --split was given
};

// Where nothing else is asked for: the photos that the first run was evaluated on.
void complete_data(CompareFlags& o, const Run& first) {
  DataOptions& data = o.data;
  if (!data.data.empty()) return;
  DataOptions own = data_of_run(first.config);
  if (own.data.empty())
    throw Error(fmt::format("{}: does not say what it was trained on; name photos with --data", first.folder.string()));
  if (o.other_split) own.split = data.split;
  if (!data.merge.empty()) own.merge = data.merge;
  own.keep_unused = own.keep_unused || data.keep_unused;
  own.missing_is_negative = own.missing_is_negative || data.missing_is_negative;
  data = std::move(own);
}

// What cannot be read is the same for every run.
std::vector<Unreadable> look(ComparedRun& run, const CompareFlags& o, const io::Dataset& dataset,
                             const io::Split& split) {
  const Model model = load_model(run.run.folder.string(), {.live = o.live});
  const auto start = std::chrono::steady_clock::now();
  std::vector<Unreadable> unreadable;
  run.results = results_of_run(model, run.run.config, dataset, split, o.compute, &unreadable);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.ms = seconds * 1e3 / static_cast<double>(run.results.size());
  for (const std::string& name : dataset.classes)
    if (std::find(model.names.begin(), model.names.end(), name) == model.names.end())
      fmt::print(stderr, "{}: knows no class '{}', whose boxes it cannot find\n", run.name, name);
  return unreadable;
}

// The photos that there are results of.
void take_photos(Comparison& comparison, const io::Split& split, const std::vector<Unreadable>& unreadable) {
  auto left_out = unreadable.begin();
  for (std::size_t i = 0; i < split.images.size(); ++i) {
    if (left_out != unreadable.end() && left_out->index == i)
      ++left_out;
    else
      comparison.files.push_back(split.images[i].file.string());
  }
}

void run(CompareFlags& o) {
  Comparison comparison;
  comparison.targets = o.targets;
  std::set<std::string> names;
  for (const std::string& folder : o.runs) {
    ComparedRun& added = comparison.runs.emplace_back();
    added.run = read_run(folder);
    added.name = summarise(added.run).name;
    if (!names.insert(added.name).second) added.name = folder;
  }
  complete_data(o, comparison.runs.front().run);
  const io::Dataset dataset = o.data.read();
  name_left_out(dataset);
  const io::Split& split = DataOptions::find(dataset, o.data.split);
  if (split.images.empty()) throw Error(fmt::format("{}: split '{}' has no photos", o.data.data, split.name));
  comparison.classes = dataset.classes;
  std::vector<Unreadable> unreadable;
  for (ComparedRun& each : comparison.runs) {
    fmt::print(stderr, "{}: looking at {} photos\n", each.name, split.images.size());
    unreadable = look(each, o, dataset, split);
  }
  report_unreadable(unreadable, split.images.size());
  take_photos(comparison, split, unreadable);
  comparison.data = fmt::format("{} photos of {}, {}", comparison.files.size(), o.data.data, split.name);
  complete(comparison, o.conf, o.resamples, o.seed);
  if (!o.json.empty()) write_json(o.json, to_json(comparison));
  if (o.json != "-") fmt::print("{}", to_text(comparison));
  const std::string page = compare_html(comparison);
  io::write_file_atomically(o.out, page);
  if (o.json != "-") fmt::print("\npage: {}\n", o.out);
}

}  // namespace

void add_compare(CLI::App& app) {
  auto o = std::make_shared<CompareFlags>();
  CLI::App* c = app.add_subcommand("compare", "runs beside each other on the same photos, as a table and a page");
  c->add_option("runs", o->runs, "run folders; the others are measured against the first")
      ->required()
      ->type_name("RUN");
  o->data.add(*c, "valid");
  c->get_option("--data")->required(false)->description(
      "labelled photos to compare on (default: those of the first run)");
  c->add_option("--out", o->out, "the page")->capture_default_str();
  c->add_option("--json", o->json, "write everything as JSON to a file, or to standard output (-)");
  c->add_option("--target", o->targets, "mAP50 whose time is listed; may be repeated")->check(between(0.0, 1.0));
  c->add_option("--conf", o->conf, "least confidence of boxes that are drawn and counted")
      ->capture_default_str()
      ->check(between(0, 1));
  c->add_option("--resamples", o->resamples, "of the bootstrap")->capture_default_str()->check(between(10, 1000000));
  c->add_option("--seed", o->seed, "of the bootstrap")->capture_default_str();
  c->add_flag("--live", o->live, "the live weights instead of their average");
  o->compute.add(*c);
  c->footer(
      "Examples:\n  rook compare runs/v1 runs/v3 --out compare.html\n"
      "  rook compare runs/v1 runs/v3 --data chess --split test --target 0.985\n"
      "The interval is that of a paired bootstrap over the photos: where it holds 0, the difference may be chance.");
  c->callback([o, c] {
    install_interrupt();
    o->other_split = c->count("--split") > 0;
    run(*o);
  });
}

}  // namespace rook::app
