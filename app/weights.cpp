// rook weights: what a weights file holds, and conversion between darknet's format and checkpoints.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "app/checks.h"
#include "app/common.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "model/checkpoint.h"
#include "model/darknet_import.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct Range {
  float least = 0, most = 0;
  double mean = 0;
};

Range range_of(std::span<const float> values) {
  Range range;
  if (values.empty()) return range;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  double sum = 0;
  for (const float v : values) sum += v;
  return {*least, *most, sum / static_cast<double>(values.size())};
}

// How a checkpoint says that it was made; empty where it does not.
std::string note_of(const std::string& what) {
  if (what == kRendered) return parse_checkpoint(rendered_weights(), what).note;
  return what.ends_with(".safetensors") ? read_checkpoint(what).note : "";
}

void info(const std::string& what, const LoadOptions& load, const std::string& json) {
  const Model model = load_model(what, load);
  const std::string note = note_of(what);
  nlohmann::json rows = nlohmann::json::array();
  for (const Param& param : model.params->all()) {
    const Range range = range_of(std::as_const(*model.params).value(param));
    rows.push_back({{"name", param.name},
                    {"shape", param.spec.shape},
                    {"count", param.spec.count()},
                    {"min", range.least},
                    {"max", range.most},
                    {"mean", range.mean}});
  }
  if (!json.empty())
    write_json(json, {{"model", what},
                      {"network", model.network->cfg.name},
                      {"classes", model.names},
                      {"parameters", model.params->total()},
                      {"trainable", model.params->trainable()},
                      {"note", note},
                      {"arrays", rows}});
  if (json == "-") return;
  fmt::print("{}: network {}, {} classes, {} floats ({} trainable)\n", what, model.network->cfg.name,
             model.names.size(), model.params->total(), model.params->trainable());
  if (!note.empty()) fmt::print("  made by: {}\n", note);
  for (const auto& row : rows)
    fmt::print("  {:<32} {:>10}  min {:>10.4g}  max {:>10.4g}  mean {:>10.4g}\n", row["name"].get<std::string>(),
               row["count"].get<std::int64_t>(), row["min"].get<double>(), row["max"].get<double>(),
               row["mean"].get<double>());
}

// How a checkpoint is stored, beyond the model itself.
struct Storage {
  bool half = false;
  std::string note;
};

// A file to write.
struct Output {
  std::string file;
  std::vector<std::byte> bytes;
  std::string what;  // said behind its name; may be empty
};

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

bool holds(const std::string& file, const std::vector<std::byte>& bytes) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return in && bytes_of(text) == bytes;
}

// All, or none when one of them would take the place of something else: weights may be all that is left of a training.
void write(const std::vector<Output>& outputs) {
  for (const Output& output : outputs)
    if (fs::is_regular_file(output.file) && !holds(output.file, output.bytes))
      throw Error(fmt::format("{}: exists, and is not what would be written{}; name another file, or remove this one",
                              output.file, output.what));
  for (const Output& output : outputs) {
    io::write_file_atomically(output.file, output.bytes);
    fmt::print("{} written{}\n", output.file, output.what);
  }
}

Output checkpoint_output(const std::string& to, const Model& model, const Storage& storage) {
  Checkpoint checkpoint;
  checkpoint.names = model.names;
  checkpoint.preprocess = model.preprocess;
  checkpoint.note = storage.note;
  checkpoint.half = storage.half;
  checkpoint.state = {{"darknet", rook::to_json(model.header)},
                      {"config", {{"width", model.network->width}, {"height", model.network->height}}}};
  const auto values = std::as_const(*model.params).values();
  checkpoint.values.assign(values.begin(), values.end());
  return {to, checkpoint_bytes(to, *model.network, *model.params, checkpoint), ""};
}

Output darknet_output(const std::string& to, const Model& model, int layers) {
  io::DarknetWeights weights = export_darknet(*model.network, *model.params, layers);
  weights.header = model.header;
  return {to, io::darknet_weights_bytes(weights, to), ""};
}

// The cfg that says of a model what a cfg can say: the size it was trained at, and how photos are fitted to it.
std::string cfg_text(const Model& model) {
  io::Cfg cfg = model.network->cfg;
  io::CfgSection& net = cfg.sections.front();
  const auto keep = [&](const char* key, int value) {
    if (net.integer(key, 0) != value) net.set(key, fmt::format("{}", value));
  };
  keep("width", model.network->width);
  keep("height", model.network->height);
  keep("letter_box", model.preprocess.fit == Fit::letterbox);
  return cfg.to_text();
}

// A .weights file has neither cfg nor class names in it: they stand beside it.
std::vector<Output> darknet_outputs(const std::string& to, const Model& model) {
  const auto beside = [&](const char* ending) { return fs::path(to).replace_extension(ending).string(); };
  std::vector<Output> outputs{darknet_output(to, model, -1),
                              {beside(".cfg"), bytes_of(cfg_text(model)), " (the network of these weights)"}};
  if (model.names == numbered_names(static_cast<int>(model.names.size()))) return outputs;
  std::string names;
  for (const std::string& name : model.names) names += name + "\n";
  const std::string file = beside(".names");
  outputs.push_back({file, bytes_of(names), fmt::format(" (the class names: --names {})", file)});
  return outputs;
}

void convert(const std::string& from, const std::string& to, const LoadOptions& load, const Storage& storage) {
  if (!to.ends_with(".safetensors") && !to.ends_with(".weights"))
    throw UsageError(fmt::format("{}: the ending says what to write: .safetensors or .weights", to));
  if (to.ends_with(".weights") && (storage.half || !storage.note.empty()))
    throw UsageError(
        fmt::format("{}: darknet's files hold f32 and no notes; --half and --note are for .safetensors", to));
  const Model model = load_model(from, load);
  if (to.ends_with(".safetensors")) return write({checkpoint_output(to, model, storage)});
  write(darknet_outputs(to, model));
  if (model.preprocess.resampling != Preprocess().resampling)
    fmt::print(stderr, "a cfg cannot say how photos are scaled: detect with --resize {}, as the model was trained\n",
               name_of(model.preprocess.resampling));
}

}  // namespace

void add_weights(CLI::App& app) {
  CLI::App* command = app.add_subcommand("weights", "look at weights, convert them, cut them for transfer learning");
  command->require_subcommand(1);
  struct WeightsFlags {
    std::string from, to, json;
    int layers = 0;
    LoadOptions load;
    Storage storage;
  };
  auto options = std::make_shared<WeightsFlags>();
  const auto common = [options](CLI::App* sub) {
    sub->add_option("model", options->from, model_help())->required();
    sub->add_option("--names", options->load.names_file, "class names, one per line, where the weights have none");
    sub->add_flag("--lenient", options->load.lenient, "unknown keys of a cfg are warnings");
    sub->add_flag("--live", options->load.live, "of a checkpoint the live weights instead of their average");
  };
  CLI::App* look = command->add_subcommand("info", "every array with its size and range");
  common(look);
  look->footer("Example:\n  rook weights info yolov4-tiny.cfg:yolov4-tiny.weights");
  look->add_option("--json", options->json, "as JSON to a file, or to standard output (-)");
  look->callback([options] { info(options->from, options->load, options->json); });
  CLI::App* change = command->add_subcommand(
      "convert",
      "darknet .weights <-> checkpoint, by the ending of OUT; a .weights file gets its .cfg and .names beside it");
  common(change);
  change->footer(
      "Examples:\n  rook weights convert runs/chess chess.weights\n"
      "  rook weights convert runs/chess chess.safetensors --half --note \"102 photos of our board\"");
  change->add_option("out", options->to, "file to write: .safetensors or .weights")->required();
  change->add_flag("--half", options->storage.half, "store the weights of convolutions as f16: about half the file");
  change->add_option("--note", options->storage.note, "words on how it was made; `rook weights info` shows them");
  change->callback([options] { convert(options->from, options->to, options->load, options->storage); });
  CLI::App* part = command->add_subcommand("partial", "the first N layers as darknet's .conv.N");
  common(part);
  part->footer("Example:\n  rook weights partial yolov4-tiny:yolov4-tiny.weights 29 yolov4-tiny.conv.29");
  part->add_option("layers", options->layers, "how many layers, as the cfg counts them")
      ->required()
      ->check(between(1, 100000));
  part->add_option("out", options->to, "file to write, FILE.conv.N")->required();
  part->callback(
      [options] { write({darknet_output(options->to, load_model(options->from, options->load), options->layers)}); });
  command->footer(
      "Examples:\n  rook weights info yolov4-tiny.cfg:yolov4-tiny.weights\n  rook weights convert runs/chess "
      "chess.weights\n"
      "  rook weights partial yolov4-tiny:yolov4-tiny.weights 29 yolov4-tiny.conv.29");
}

}  // namespace rook::app
