// rook tune: which implementation of convolution is fastest, problem by problem, on this device.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "app/checks.h"
#include "app/common.h"
#include "app/tuner.h"
#include "base/error.h"
#include "kernels/names.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

struct TuneFlags {
  std::string model, arch, json, out;
  LoadOptions load;
  ComputeOptions compute;
  std::vector<int> batches{1};
  int size = 0, classes = 0;
  double seconds = 0.2;
  bool train = false, list = false;
};

std::unique_ptr<Network> network_of(const TuneFlags& o) {
  if (!o.model.empty()) return load_model(o.model, o.load).network;
  if (o.arch.empty()) throw Error("rook tune: say which network, with --model or --arch; rook tune --help shows how");
  io::Cfg cfg = find_cfg(o.arch, {});
  if (o.classes > 0) cfg.set_classes(o.classes);
  return build_network(cfg);
}

// Of all batches: detection's, then with --train those of a training.
std::vector<ConvProblem> problems_of(const TuneFlags& o, const Network& network) {
  const int width = o.size ? o.size : network.width, height = o.size ? o.size : network.height;
  std::vector<ConvProblem> problems;
  for (const int batch : o.batches)
    for (const bool training : {false, true}) {
      if (training && !o.train) continue;
      for (const ConvProblem& p :
           conv_problems(network, o.compute.backend(), o.compute.dtype(training), batch, height, width, training))
        if (std::find(problems.begin(), problems.end(), p) == problems.end()) problems.push_back(p);
    }
  return problems;
}

// Libraries that this rook knows of but cannot use here, one line each.
std::vector<std::string> missing_libraries(const Backend& backend) {
  std::vector<std::string> lines;
  for (const ConvRow& row : backend.conv_rows())
    if (row.unavailable)
      if (const std::string reason = row.unavailable(); !reason.empty())
        lines.push_back(fmt::format("without {}: {}", row.name, reason));
  return lines;
}

// "onednn 1.20, ref 40.1; dropped mma: element 3: ..." of all rows but the chosen.
std::string others(const TunedProblem& tuned, const MeasuredConv& measured) {
  std::string text;
  for (const MeasuredRow& row : measured.rows)
    if (row.row != measured.rows.front().row)
      text += fmt::format("{}{} {:.3f}", text.empty() ? "" : ", ", row.row, row.ms);
  for (const Candidate& c : tuned.candidates)
    if (!c.ms) text += fmt::format("{}dropped {}: {}", text.empty() ? "" : "; ", c.row, c.fault);
  return text;
}

nlohmann::json entry_json(const TunedProblem& tuned, const MeasuredConv& measured) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Candidate& c : tuned.candidates) {
    rows.push_back({{"row", c.row}});
    if (c.ms) rows.back()["ms"] = *c.ms;
    if (!c.fault.empty()) rows.back()["dropped"] = c.fault;
  }
  return {{"problem", describe(tuned.problem)},
          {"chosen", measured.rows.front().row},
          {"by_rule", tuned.by_rule},
          {"rows", rows}};
}

class OwnStream {
 public:
  explicit OwnStream(const DeviceRuntime& runtime) : runtime_(runtime), stream_(runtime.create_stream()) {}
  ~OwnStream() { runtime_.destroy_stream(stream_); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  Stream get() const { return stream_; }

 private:
  const DeviceRuntime& runtime_;
  Stream stream_;
};

class Tuning {
 public:
  explicit Tuning(const TuneFlags& o) : o_(o), backend_(o.compute.backend()) {
    if (backend_.name == "ref") throw Error("--device ref: has one convolution; take cpu, cuda or emu");
    if (!o_.compute.conv.empty() && !o_.list) throw Error("--conv: rook tune measures all; force one where it is used");
    if (o_.compute.conv_cache == "none" && !o_.list)
      throw Error("--out none: rook tune writes what it measures; name a file");
    file_ = o_.compute.conv_cache.empty() ? default_conv_cache() : std::filesystem::path(o_.compute.conv_cache);
    if (file_.empty()) throw Error("neither HOME nor XDG_CACHE_HOME is set; name a file with --out");
    key_ = conv_cache_key(backend_);
    network_ = network_of(o_);
    problems_ = problems_of(o_, *network_);
  }

  void list() const;
  void measure();

 private:
  bool quiet() const { return o_.json == "-"; }
  void print_row(std::size_t index, const TunedProblem& tuned, const MeasuredConv& measured);
  void keep(const MeasuredConv& measured);
  void finish();

  const TuneFlags& o_;
  const Backend& backend_;
  std::filesystem::path file_;
  ConvCacheKey key_;
  bool has_kept_ = false;
  std::unique_ptr<Network> network_;
  std::vector<ConvProblem> problems_;
  nlohmann::json rows_ = nlohmann::json::array();
  double chosen_ms_ = 0, rule_ms_ = 0;
  int unsteady_ = 0;  // problems of which a time spread widely
};

// What would be chosen, and why; nothing is measured.
void Tuning::list() const {
  const ConvTable table(backend_, o_.compute.convs());
  nlohmann::json rows = nlohmann::json::array();
  std::size_t forced = 0;
  for (const ConvProblem& problem : problems_) {
    const ConvTable::Chosen chosen = table.explain(problem);
    forced += chosen.why == ConvTable::Why::forced && (chosen.row->name != "ref" || o_.compute.conv == "ref");
    rows.push_back({{"problem", describe(problem)}, {"row", chosen.row->name}, {"why", name_of(chosen.why)}});
    if (!quiet()) fmt::print("{:<64} {:<14} {}\n", describe(problem), chosen.row->name, name_of(chosen.why));
  }
  if (!quiet()) {
    for (const std::string& line : missing_libraries(backend_)) fmt::print("{}\n", line);
    if (!o_.compute.conv.empty())
      fmt::print("--conv {}: used for {} of {} convolutions{}\n", o_.compute.conv, forced, problems_.size(),
                 forced < problems_.size() ? "; the others run as listed" : "");
    fmt::print("{}; {}\ncache: {}\n", key_.device, key_.versions, file_.string());
  }
  if (!o_.json.empty())
    write_json(o_.json,
               {{"device", key_.device}, {"versions", key_.versions}, {"cache", file_.string()}, {"rows", rows}});
}

void Tuning::print_row(std::size_t index, const TunedProblem& tuned, const MeasuredConv& measured) {
  const MeasuredRow& best = measured.rows.front();
  const Candidate* const rule = tuned.find(tuned.by_rule);
  const double rule_ms = rule && rule->ms ? *rule->ms : best.ms;
  chosen_ms_ += best.ms;
  rule_ms_ += rule_ms;
  if (quiet()) return;
  fmt::print("{:>3}/{:<3} {:<64} {:<14} {:>9.3f} ms  {:>5.2f}x {:<12} {}\n", index + 1, problems_.size(),
             describe(tuned.problem), best.row, best.ms, rule_ms / best.ms, tuned.by_rule, others(tuned, measured));
  std::fflush(stdout);
}

void Tuning::measure() {
  if (!quiet()) {
    for (const std::string& line : missing_libraries(backend_)) fmt::print("{}\n", line);
    fmt::print("{}, {} convolutions on {}\n{:<7} {:<64} {:<14} {:>12}  {:>6} {:<12} {}\n", network_->cfg.name,
               problems_.size(), key_.device, "", "convolution", "chosen", "", "over", "the rule's", "others, ms");
  }
  const OwnStream stream(*backend_.runtime);
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    const TunedProblem tuned = tune_problem(backend_, stream.get(), problems_[i], {.seconds = o_.seconds});
    const MeasuredConv measured = tuned.measured();
    if (measured.rows.empty())
      throw Error(
          fmt::format("{}: no implementation is right: {}; {}", describe(problems_[i]), others(tuned, measured),
                      has_kept_ ? "what was measured before it is kept in " + file_.string() : "nothing was written"));
    keep(measured);
    rows_.push_back(entry_json(tuned, measured));
    unsteady_ += std::any_of(tuned.candidates.begin(), tuned.candidates.end(), [](auto& c) { return c.unsteady; });
    print_row(i, tuned, measured);
  }
  finish();
}

// At once: who stops it half-way, or whose GPU fails, keeps what has been measured.
void Tuning::keep(const MeasuredConv& measured) {
  if (!has_kept_ && !load_conv_cache(file_, key_).warning.empty())
    fmt::print(stderr, "{}: what it had is replaced\n", file_.string());
  save_conv_cache(file_, key_, {measured});
  has_kept_ = true;
}

void Tuning::finish() {
  if (!o_.json.empty())
    write_json(o_.json, {{"device", key_.device},
                         {"versions", key_.versions},
                         {"cache", file_.string()},
                         {"network", network_->cfg.name},
                         {"ms", chosen_ms_},
                         {"ms_by_rule", rule_ms_},
                         {"unsteady", unsteady_},
                         {"rows", rows_}});
  if (quiet()) return;
  fmt::print("each once: {:.2f} ms, by the rule {:.2f} ms ({:.2f}x); kept in {}\n", chosen_ms_, rule_ms_,
             rule_ms_ / chosen_ms_, file_.string());
  if (unsteady_ > 0)
    fmt::print(
        "{} of {} were measured while something else ran (their times spread by more than {:.0f} %): repeat it on "
        "a quiet machine\n",
        unsteady_, problems_.size(), 100 * (kUnsteady - 1));
}

void run(const TuneFlags& o) {
  install_interrupt();
  Tuning tuning(o);
  o.list ? tuning.list() : tuning.measure();
}

}  // namespace

void add_tune(CLI::App& app) {
  auto o = std::make_shared<TuneFlags>();
  CLI::App* c = app.add_subcommand("tune", "measure which convolution is fastest, for all commands to use");
  CLI::Option* model = c->add_option("--model", o->model, model_help());
  c->add_option("--arch", o->arch, "a network alone: a cfg file or one of ours")->excludes(model);
  c->add_option("--classes", o->classes, "of --arch: number of classes (default: the cfg's)")
      ->excludes(model)
      ->check(between(1, 10000));
  c->add_flag("--lenient", o->load.lenient, "unknown keys of a cfg are warnings");
  c->add_option("--batch", o->batches, "photos at a time, a list")
      ->delimiter(',')
      ->capture_default_str()
      ->check(between(1, 1024));
  add_size(*c, o->size, "that of the training, or the cfg's");
  c->add_flag("--train", o->train, "also what a training runs: forward and both gradients");
  c->add_option("--seconds", o->seconds, "time for the samples of one row; five are taken at least")
      ->capture_default_str()
      ->check(between(0.0, 3600.0));
  c->add_flag("--list", o->list, "show what would be chosen and why, without measuring");
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  o->compute.add(*c);
  c->add_option("--out", o->out, "file to write (default: rook/convolutions.json in XDG_CACHE_HOME or ~/.cache)");
  c->footer(
      "Each implementation is compared with sums in double before it is timed; what throws or is wrong is dropped.\n"
      "Times hold for this device, these versions of its libraries, and the batch and size they were measured with.\n"
      "Examples:\n  rook tune --arch yolov4-tiny --train --batch 8\n  rook tune --model runs/chess --list");
  c->callback([o] {
    if (!o->out.empty()) o->compute.conv_cache = o->out;
    run(*o);
  });
}

}  // namespace rook::app
