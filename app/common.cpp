#include "app/common.h"
#include "app/checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "app/counter.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/cfg.h"
#include "io/store.h"
#include "model/conv_cache.h"
#include "model/zoo.h"

namespace rook::app {

void ComputeOptions::add(CLI::App& app) {
  app.add_option(
         "--device", device,
         "where to compute: auto (a GPU, else the CPU), cuda, cpu, emu (the CUDA kernels on the host), or ref (naive)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "cuda", "cpu", "emu", "ref"}));
  app.add_option("--precision", precision, "auto, f32, bf16, or f16 (inference on a GPU)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}));
  app.add_option("--conv", conv,
                 "force an implementation of convolution: ours (no library's), or one by name (rook tune lists them)");
  add_conv_cache(app, conv_cache);
}

void add_conv_cache(CLI::App& app, std::string& cache) {
  app.add_option("--conv-cache", cache, "what rook tune measured: a file, or none (default: where rook tune writes)")
      ->envname("ROOK_CONV_CACHE");
}

ConvChoice conv_choice(const std::string& forced, const Backend& backend, const std::string& cache) {
  static std::set<std::string> said;
  if (cache == "none") return forced;
  const std::filesystem::path file = cache.empty() ? default_conv_cache() : std::filesystem::path(cache);
  LoadedConvs loaded = load_conv_cache(file, conv_cache_key(backend));
  if (!loaded.warning.empty() && said.insert(loaded.warning).second) fmt::print(stderr, "{}\n", loaded.warning);
  return {forced, std::move(loaded.tuned)};
}

const Backend& ComputeOptions::backend() const {
  static bool said = false;
  const Backend& chosen = find_backend(device);
  if (device == "auto" && chosen.device == Device::cpu && !said) {
    said = true;
    if (const std::string reason = why_no_gpu(); !reason.empty())
      fmt::print(stderr, "{}; computing on the CPU (--device cpu)\n", reason);
  }
  return chosen;
}

DType ComputeOptions::dtype(bool training) const {
  try {
    return compute_dtype(precision, backend(), training);
  } catch (const Error& error) {
    throw UsageError(fmt::format("--{}", error.what()));
  }
}

std::string model_help() {
  return fmt::format(
      "a run folder, a checkpoint (.safetensors), NETWORK.cfg:FILE.weights, or {} (our own weights, part of rook)",
      kRendered);
}

void add_size(CLI::App& app, int& size, const char* otherwise) {
  app.add_option("--size", size,
                 fmt::format("side of the network's input in pixels, a multiple of 32 (default: {})", otherwise))
      ->check(input_side());
}

void ModelOptions::add(CLI::App& app) {
  app.add_option("--model", model, model_help())->required();
  app.add_option("--names", load.names_file, "class names, one per line, where the weights have none");
  app.add_option("--bn-eps", load.bn_eps,
                 "darknet weights: what batch norm adds to the variance (darknet 1e-5, OpenCV 1e-6)")
      ->check(between(1e-12, 1));
  app.add_flag("--lenient", load.lenient, "unknown keys of a cfg are warnings, as in darknet");
  app.add_flag("--live", load.live, "of a checkpoint the live weights instead of their average");
}

void DetectionOptions::add(CLI::App& app, const char* default_classes) {
  classes = default_classes;
  app.add_option("--conf", conf, "least confidence of a box")->capture_default_str()->check(between(0.0, 1.0));
  app.add_option("--nms", nms,
                 "suppression: plain, greedy (darknet's greedynms), diou, or cfg (what the network's cfg says)")
      ->capture_default_str()
      ->check(CLI::IsMember({"plain", "greedy", "diou", "cfg"}));
  app.add_option("--nms-threshold", nms_threshold, "overlap above which the weaker box goes")
      ->capture_default_str()
      ->check(between(0.0, 1.0));
  app.add_option("--classes", classes,
                 "of a box: best (only its likeliest class) or all (each class above --conf, as darknet does)")
      ->capture_default_str()
      ->check(CLI::IsMember({"best", "all"}));
  app.add_option("--resize", resize,
                 "how photos are scaled: half-pixel, align-corners, area (default: as the model was trained)")
      ->check(CLI::IsMember({"half-pixel", "align-corners", "area"}));
  app.add_option("--fit", fit, "stretch or letterbox (default: as the model was trained)")
      ->check(CLI::IsMember({"stretch", "letterbox"}));
  add_size(app, size, "that of the training, or the cfg's");
  app.add_option("--batch", batch, "photos at a time")->capture_default_str()->check(between(1, 1024));
}

void DetectionOptions::apply(Preprocess& preprocess) const {
  if (!resize.empty()) preprocess.resampling = resampling_from_name(resize);
  if (!fit.empty()) preprocess.fit = fit_from_name(fit);
}

DetectorOptions DetectionOptions::detector(const Network& network, const ComputeOptions& compute,
                                           bool training_precision) const {
  return {.backend = &compute.backend(),
          .compute = compute.dtype(training_precision),
          .batch = batch,
          .width = size,
          .height = size,
          .threshold = conf,
          .nms_kind = nms_from_name(nms, network),
          .nms_threshold = nms_threshold,
          .nms_beta = network.nms_beta,
          .best_class = classes == "best",
          .conv = compute.convs()};
}

void DataOptions::add(CLI::App& app, const char* default_split) {
  split = default_split;
  app.add_option(
         "--data", data,
         "folder or file of labelled photos (COCO JSON, YOLO txt, darknet .data, Pascal VOC), or a version of a "
         "data set, like chess/v1")
      ->required();
  app.add_option("--store", store, "folder where data sets live (default: $ROOK_DATA, else data)");
  app.add_option("--merge", merge, "join or rename a class, FROM=TO; may be repeated");
  app.add_flag("--keep-unused", keep_unused, "keep classes without any box");
  app.add_flag("--missing-is-negative", missing_is_negative,
               "a photo without a label file has nothing on it (otherwise a fault)");
  if (*default_split) app.add_option("--split", split, "train, valid or test")->capture_default_str();
}

std::filesystem::path DataOptions::path() const {
  return io::find_data(data, io::store_root(store));
}

io::DatasetOptions DataOptions::options() const {
  io::DatasetOptions options;
  for (const std::string& pair : merge) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size())
      throw UsageError(fmt::format("--merge {}: write FROM=TO", pair));
    options.merge.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  options.drop_unused_classes = !keep_unused;
  options.missing_label_is_negative = missing_is_negative;
  return options;
}

io::Dataset DataOptions::read() const {
  return io::read_dataset(path(), options());
}

const io::Split& DataOptions::find(const io::Dataset& dataset, const std::string& name) {
  if (const io::Split* split = dataset.find(name)) return *split;
  std::vector<std::string> names;
  for (const io::Split& split : dataset.splits) names.push_back(split.name);
  throw Error(fmt::format("{}: has no split '{}'; there are: {}", dataset.root.string(), name, fmt::join(names, ", ")));
}

DataOptions data_of_run(const nlohmann::json& config) {
  DataOptions data;
  data.data = config.value("data", "");
  data.split = config.value("valid", "valid");
  data.merge = config.value("merge", std::vector<std::string>());
  data.keep_unused = config.value("keep_unused", false);
  data.missing_is_negative = config.value("missing_is_negative", false);
  return data;
}

void match_classes(io::Dataset& dataset, const std::vector<std::string>& names) {
  std::vector<int> to;
  for (const std::string& name : dataset.classes) {
    const auto found = std::find(names.begin(), names.end(), name);
    to.push_back(found == names.end() ? -1 : static_cast<int>(found - names.begin()));
  }
  for (io::Split& split : dataset.splits)
    for (io::LabelledImage& image : split.images)
      for (io::LabelBox& box : image.boxes) {
        if (to[box.cls] < 0) {
          const auto near = io::did_you_mean(dataset.classes[box.cls], names);
          throw Error(fmt::format("{}: class '{}' is not known to the model{}; rename it with --merge {}=...",
                                  image.file.string(), dataset.classes[box.cls],
                                  near ? fmt::format(" (did you mean {}?)", *near) : "", dataset.classes[box.cls]));
        }
        box.cls = to[box.cls];
      }
  for (io::Split& split : dataset.splits)
    for (io::LabelledImage& image : split.images) {
      for (io::IgnoredRegion& region : image.ignored) region.cls = to[region.cls];
      std::erase_if(image.ignored, [](const io::IgnoredRegion& region) { return region.cls < 0; });
    }
  dataset.classes = names;
}

void keep_splits(io::Dataset& dataset, const std::vector<std::string>& names) {
  std::erase_if(dataset.splits, [&](const io::Split& split) {
    return std::find(names.begin(), names.end(), split.name) == names.end();
  });
}

std::vector<ImageResult> results_of_run(const Model& model, const nlohmann::json& run_config,
                                        const io::Dataset& dataset, const io::Split& split,
                                        const ComputeOptions& compute, std::vector<Unreadable>* unreadable) {
  constexpr float kFloor = 0.001f;
  const auto train = run_config.value("train", nlohmann::json::object());
  Detector detector(*model.network, *model.params, model.preprocess,
                    {.backend = &compute.backend(),
                     .compute = compute.dtype(false),
                     .batch = 4,
                     .width = train.value("width", 0),
                     .height = train.value("height", 0),
                     .threshold = kFloor,
                     .best_class = false,
                     .conv = compute.convs()});
  Counter counter("photos", static_cast<int>(split.images.size()));
  std::vector<ImageResult> results = detect_split(
      detector, split, model.network->channels, &interrupted(), [&](int done) { counter.show(done); }, unreadable);
  rename_classes(results, model.names, dataset.classes);
  return results;
}

void name_left_out(const io::Dataset& dataset) {
  for (const io::Fault& fault : dataset.faults)
    if (fault.kind == io::Fault::Kind::unreadable_image) fmt::print(stderr, "left out: {}\n", fault.message);
}

void report_unreadable(const std::vector<Unreadable>& unreadable, std::size_t total) {
  if (unreadable.empty()) return;
  for (const Unreadable& photo : unreadable) fmt::print(stderr, "rook: {}\n", photo.why);
  if (unreadable.size() == total) throw Error("none of the photos could be read");
  fmt::print(stderr, "rook: {} of {} photos could not be read; all figures are of the others\n", unreadable.size(),
             total);
  exit_status = 1;
}

void write_text(const std::string& where, const std::string& text) {
  if (where == "-") {
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0)
      throw Error(fmt::format("standard output cannot be written: {}", std::strerror(errno)));
    return;
  }
  io::write_file_atomically(where, text);
}

void write_json(const std::string& where, const nlohmann::json& json) {
  // Names of files need not be UTF-8: what is not is replaced by U+FFFD.
  write_text(where, json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int finish_output(int status) {
  errno = 0;
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (!failed || status != 0) return status;
  fmt::print(stderr, "rook: standard output cannot be written: {}\n",
             errno != 0 ? std::strerror(errno) : "some of it was lost; is the disk full?");
  return 1;
}

std::atomic<bool>& interrupted() {
  static std::atomic<bool> flag{false};
  return flag;
}

namespace {

volatile std::sig_atomic_t interrupting_signal = SIGINT;

void on_interrupt(int signal) {
  interrupting_signal = signal;
  if (interrupted().exchange(true)) std::_Exit(interrupt_status());
}

}  // namespace

int interrupt_status() {
  return 128 + interrupting_signal;
}

void install_interrupt() {
  interrupted();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (std::signal(signal, on_interrupt) == SIG_IGN) std::signal(signal, SIG_IGN);  // by nohup
}

}  // namespace rook::app
