// rook inspect: what is inside a network, layer by layer, and what it makes of a photo.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/checks.h"
#include "app/common.h"
#include "base/error.h"
#include "model/inspect.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct InspectFlags {
  std::string model, json, image, out, cell;
  LoadOptions load;
  ComputeOptions compute;
  DetectionOptions detection;
  DataOptions data;
  std::vector<int> layers;
  int channels = 24, runs = 5;
};

// A model with weights, or a network alone (its cfg or its name), with random ones.
Model read(const InspectFlags& o) {
  const bool weights = o.model == kRendered || o.model.find(':') != std::string::npos ||
                       o.model.ends_with(".safetensors") || fs::is_directory(o.model);
  return weights ? load_model(o.model, o.load) : make_model(find_cfg(o.model, {.lenient = o.load.lenient}), {}, 1);
}

// "12,7": column and row.
std::pair<int, int> cell_of(const std::string& text) {
  int column = 0, row = 0, read = 0;
  if (std::sscanf(text.c_str(), "%d,%d%n", &column, &row, &read) != 2 || read != static_cast<int>(text.size()))
    throw Error(fmt::format("--cell {}: write COLUMN,ROW, counted from 0", text));
  return {column, row};
}

// The data set's photo that is the given file, or else has its name.
const io::LabelledImage& find_photo(const io::Dataset& dataset, const fs::path& photo) {
  const io::LabelledImage* named = nullptr;
  int same_name = 0;
  for (const io::Split& split : dataset.splits)
    for (const io::LabelledImage& image : split.images) {
      std::error_code error;
      if (fs::equivalent(image.file, photo, error)) return image;
      if (image.name != photo.filename().string()) continue;
      named = &image;
      ++same_name;
    }
  if (same_name == 1) return *named;
  throw Error(fmt::format("{}: {} photo '{}'", dataset.root.string(),
                          same_name ? "has more than one" : "has no labelled", photo.filename().string()));
}

void add_truths(InspectPhoto& photo, const InspectFlags& o, const std::vector<std::string>& names) {
  std::optional<io::LabelledImage> labelled;
  if (o.data.data.empty()) {
    labelled = io::read_photo_labels(o.image, names);
    photo.labels = "the label file beside the photo";
  } else {
    io::Dataset dataset = o.data.read();
    dataset.splits = {{.name = "photo", .images = {find_photo(dataset, o.image)}}};
    match_classes(dataset, names);
    labelled = dataset.splits.front().images.front();
    photo.labels = o.data.data;
  }
  if (!labelled) return;
  photo.labelled = true;
  for (const io::LabelBox& box : labelled->boxes) photo.truths.push_back({box.x, box.y, box.w, box.h, box.cls});
}

void check(const InspectFlags& o) {
  const bool wants_photo = !o.layers.empty() || !o.cell.empty() || !o.data.data.empty();
  if (o.image.empty() && wants_photo) throw Error("--layer, --cell and --data look at a photo: name one");
  if (!o.image.empty() && o.out.empty() && o.json.empty())
    throw Error(fmt::format("{}: say where the page goes, --out page.html, or the numbers, --json FILE", o.image));
}

void run(const InspectFlags& o) {
  check(o);
  Model model = read(o);
  o.detection.apply(model.preprocess);
  InspectOptions options{.detector = o.detection.detector(*model.network, o.compute),
                         .runs = o.runs,
                         .layers = o.layers,
                         .channels = o.channels,
                         .cell = {}};
  if (!o.cell.empty()) options.cell = cell_of(o.cell);
  std::optional<InspectPhoto> photo;
  if (!o.image.empty()) {
    photo = InspectPhoto{.name = fs::path(o.image).filename().string(),
                         .image = io::read_image(o.image, model.network->channels),
                         .truths = {},
                         .labels = {}};
    add_truths(*photo, o, model.names);
  }
  const Inspection inspection = inspect(model, options, photo ? &*photo : nullptr);
  if (!o.out.empty()) write_text(o.out, inspect_html(inspection));
  if (!o.json.empty()) write_json(o.json, to_json(inspection));
  if (o.json == "-" || o.out == "-") return;
  if (o.out.empty() && !photo) fmt::print("{}", to_text(inspection.facts));
  if (photo) fmt::print("{}\n", summary(*inspection.photo));
  if (!o.out.empty()) fmt::print("page: {}\n", o.out);
}

void add_options(CLI::App& c, InspectFlags& o) {
  c.add_option("--model", o.model, model_help() + "; or a network alone: a cfg file, or the name of one of ours")
      ->required();
  c.add_option("photo", o.image, "a photo to look at the network with")->type_name("IMAGE");
  c.add_option("--out", o.out, "one HTML page with everything, which needs no other file");
  c.add_option("--layer", o.layers, "a layer whose maps to show; may be repeated (default: five at different depths)")
      ->type_name("N");
  c.add_option("--channels", o.channels, "of each such layer, at most so many channels")
      ->capture_default_str()
      ->check(between(1, 1024));
  c.add_option("--cell", o.cell,
               "the cell of those layers whose receptive field is drawn (default: the one with the greatest value)")
      ->type_name("COLUMN,ROW");
  c.add_option(
      "--data", o.data.data,
      "a data set that has the photo's truths: COCO JSON, YOLO txt, darknet .data, Pascal VOC (default: a .txt "
      "beside the photo, or else what the network finds)");
  c.add_option("--merge", o.data.merge, "join or rename a class of --data, FROM=TO; may be repeated");
  c.add_option("--names", o.load.names_file, "class names, one per line, where the weights have none");
  c.add_flag("--lenient", o.load.lenient, "unknown keys of a cfg are warnings");
  add_size(c, o.detection.size, "that of the training, or the cfg's");
  c.add_option("--conf", o.detection.conf, "least confidence of a box")->capture_default_str()->check(between(0, 1));
  c.add_option("--resize", o.detection.resize,
               "how the photo is scaled: half-pixel, align-corners, area (default: as the model was trained)");
  c.add_option("--fit", o.detection.fit, "stretch or letterbox (default: as the model was trained)");
  c.add_option("--runs", o.runs, "how often to run it for the times")->capture_default_str()->check(between(1, 1000));
  c.add_option("--json", o.json, "the numbers as JSON to a file, or to standard output (-)");
  o.compute.add(c);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto o = std::make_shared<InspectFlags>();
  o->detection.classes = "best";
  CLI::App* c = app.add_subcommand("inspect", "look inside a network: layers, and what they make of a photo");
  add_options(*c, *o);
  c->footer(
      "Examples:\n  rook inspect --model yolov4-tiny\n"
      "  rook inspect --model runs/chess photo.jpg --data chess --layer 10 --layer 27 --out page.html");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
