// What the subcommands share: options that mean the same everywhere, output of JSON, Ctrl-C.
#pragma once

#include <atomic>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/conv_table.h"
#include "io/dataset.h"
#include "model/detect_split.h"
#include "model/detector.h"
#include "model/evaluate.h"
#include "model/model.h"

// The command line's library takes seconds to compile: only files that add options include it.
namespace CLI {
class App;
}

namespace rook::app {

// What was asked for cannot be meant: ends the program with 2, as what CLI11 refuses does.
class UsageError : public Error {
 public:
  using Error::Error;
};

// Each subcommand adds itself; its callback does the work and throws Error on failure.
void add_detect(CLI::App& app);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_runs(CLI::App& app);
void add_compare(CLI::App& app);
void add_serve(CLI::App& app);
void add_inspect(CLI::App& app);
void add_tune(CLI::App& app);
void add_weights(CLI::App& app);
void add_data(CLI::App& app);
void add_bench(CLI::App& app);
void add_diff(CLI::App& app);
void add_synth(CLI::App& app);
void add_label(CLI::App& app);

// `cache`: a file of `rook tune`, "none", or "" for where it writes by default.
ConvChoice conv_choice(const std::string& forced, const Backend& backend, const std::string& cache);
void add_conv_cache(CLI::App& app, std::string& cache);

// --device, --precision, --conv, --conv-cache.
struct ComputeOptions {
  std::string device = "auto", precision = "auto", conv, conv_cache;
  void add(CLI::App& app);
  // Says once, on standard error, why `auto` takes the CPU where rook could compute on a GPU.
  const Backend& backend() const;
  // "auto": bf16 in training where the device computes in it, f32 elsewhere.
  DType dtype(bool training) const;
  // --conv, and what `rook tune` measured on this device; says once, on standard error, why a cache is ignored.
  ConvChoice convs() const { return conv_choice(conv, backend(), conv_cache); }
};

// What the help of every command says of the model it takes.
std::string model_help();
// --size. `otherwise`: what the side is without it.
void add_size(CLI::App& app, int& size, const char* otherwise);

// --model, --names, --lenient, --live.
struct ModelOptions {
  std::string model;
  LoadOptions load;
  void add(CLI::App& app);
  Model read() const { return load_model(model, load); }
};

// --conf, --nms, --nms-threshold, --classes, --resize, --fit, --size, --batch.
struct DetectionOptions {
  float conf = 0.25f, nms_threshold = 0.45f;
  std::string nms = "plain", resize, fit;
  int size = 0, batch = 1;
  std::string classes;
  // `default_classes`: "best" shows people one box per object; "all" is what evaluators of mAP expect.
  void add(CLI::App& app, const char* default_classes);
  void apply(Preprocess& preprocess) const;
  DetectorOptions detector(const Network& network, const ComputeOptions& compute,
                           bool training_precision = false) const;
};

// --data, --store, --merge, --split.
struct DataOptions {
  std::string data, split, store;
  std::vector<std::string> merge;
  bool keep_unused = false, missing_is_negative = false;
  void add(CLI::App& app, const char* default_split);
  // What `data` names: a path, or a data set or version of the store.
  std::filesystem::path path() const;
  io::DatasetOptions options() const;
  io::Dataset read() const;
  // The split asked for; throws Error that lists those there are.
  static const io::Split& find(const io::Dataset& dataset, const std::string& name);
};

// The photos of a run as its config.json says them: where they are, how their classes were joined, the split that was
// evaluated. What the configuration does not say is as by default, with no place.
DataOptions data_of_run(const nlohmann::json& config);

// Renumbers the classes of a data set as the model has them, by name. Throws Error for a class the model does not know.
void match_classes(io::Dataset& dataset, const std::vector<std::string>& names);
// Leaves out all other splits, which may have classes that the model does not know.
void keep_splits(io::Dataset& dataset, const std::vector<std::string>& names);

// What a run's model finds on the photos of a split, for evaluation: at the size of its training, classes renumbered as
// the data set has them, by name. `unreadable`: as detect_split takes it.
std::vector<ImageResult> results_of_run(const Model& model, const nlohmann::json& run_config,
                                        const io::Dataset& dataset, const io::Split& split,
                                        const ComputeOptions& compute, std::vector<Unreadable>* unreadable = nullptr);

// Names the photos that were left out when the data set was read because they are none, on standard error.
void name_left_out(const io::Dataset& dataset);
// Names photos that could not be read on standard error; the program then ends with 1. Throws Error when none of
// `total` could.
void report_unreadable(const std::vector<Unreadable>& unreadable, std::size_t total);

// These write to a file, or to standard output for "-".
void write_text(const std::string& where, const std::string& text);
void write_json(const std::string& where, const nlohmann::json& json);

// The last thing the program does: `status`, or 1 with a message where that says success and standard output could not
// be written.
int finish_output(int status);

// Set by Ctrl-C, and by what else asks a program to end (SIGTERM, SIGHUP), once install_interrupt() was called; a
// second one ends the program at once.
std::atomic<bool>& interrupted();
void install_interrupt();
// What a program that was interrupted exits with: 128 + the signal, 130 for Ctrl-C.
int interrupt_status();

// What a subcommand wants the program to exit with.
inline int exit_status = 0;

}  // namespace rook::app
