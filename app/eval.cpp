// rook eval: how good a model is on a split.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "app/checks.h"
#include "app/common.h"
#include "app/counter.h"
#include "model/detect_split.h"
#include "model/evaluate.h"

namespace rook::app {
namespace {

struct EvalFlags {
  ModelOptions model;
  ComputeOptions compute;
  DetectionOptions detection;
  DataOptions data;
  float floor = 0.001f;
  std::string json;
};

void run(const EvalFlags& options) {
  if (options.floor > options.detection.conf)
    throw UsageError(
        fmt::format("--floor {0}: lies above --conf {1}, and precision and recall at {1} would lack the boxes between "
                    "them; name a --conf that is no lower",
                    options.floor, options.detection.conf));
  Model model = options.model.read();
  options.detection.apply(model.preprocess);
  io::Dataset dataset = options.data.read();
  name_left_out(dataset);
  DataOptions::find(dataset, options.data.split);
  keep_splits(dataset, {options.data.split});
  match_classes(dataset, model.names);
  const io::Split& split = dataset.splits.front();
  DetectorOptions detector_options = options.detection.detector(*model.network, options.compute);
  detector_options.threshold = options.floor;
  Detector detector(*model.network, *model.params, model.preprocess, detector_options);
  const auto start = std::chrono::steady_clock::now();
  std::vector<ImageResult> results;
  std::vector<Unreadable> unreadable;
  {
    Counter counter("photos", static_cast<int>(split.images.size()));
    results = detect_split(
        detector, split, model.network->channels, &interrupted(), [&](int done) { counter.show(done); }, &unreadable);
  }
  report_unreadable(unreadable, split.images.size());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Evaluation evaluation = evaluate(results, model.names, {.conf = options.detection.conf});
  evaluation.preprocess =
      fmt::format("{} to {}x{}, boxes from confidence {}, {} NMS {}", to_text(model.preprocess), detector.width(),
                  detector.height(), options.floor, options.detection.nms, options.detection.nms_threshold);
  if (options.json != "-") {
    fmt::print("{}\n", to_text(evaluation));
    fmt::print("{} photos in {:.1f} s ({:.1f} photos/s, decoding included)\n", results.size(), seconds,
               static_cast<double>(results.size()) / seconds);
  }
  if (!options.json.empty()) write_json(options.json, to_json(evaluation));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalFlags>();
  CLI::App* command = app.add_subcommand("eval", "measure a model on labelled photos");
  options->model.add(*command);
  options->data.add(*command, "valid");
  options->detection.add(*command, "all");
  options->compute.add(*command);
  command->add_option("--floor", options->floor, "least confidence that counts for mAP, not above --conf")
      ->capture_default_str()
      ->check(between(0, 1));
  command->add_option("--json", options->json, "write the result as JSON to a file, or to standard output (-)");
  command->footer(
      "Example:\n  rook eval --model runs/chess --data chess --split test\nmAP50 and mAP50:95 as COCO counts them; "
      "darknet's own mAP beside them.");
  command->callback([options] {
    install_interrupt();
    run(*options);
  });
}

}  // namespace rook::app
