#include "model/inspect.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/readback.h"
#include "model/checkpoint.h"
#include "model/report_html.h"

namespace rook {
namespace {

constexpr int kViewSide = 960;  // pixels of the longer side of the photo on the page
constexpr int kLayers = 5;      // shown when none is asked for

// What a checkpoint was trained with; otherwise what a training of it would begin with.
TrainConfig training_of(const Model& model) {
  if (model.source.ends_with(".safetensors")) {
    const Checkpoint checkpoint = read_checkpoint(model.source);
    if (holds_training(checkpoint)) return train_config_from_json(checkpoint.state["config"]);
  }
  return recipe("transfer", model.network->cfg);
}

io::Image view_of(const io::Image& photo, const Preprocess& preprocess, int net_w, int net_h) {
  if (preprocess.fit == Fit::stretch) {
    const int side = std::max(photo.width, photo.height);
    return fit_width(photo, side > kViewSide ? std::max(1, photo.width * kViewSide / side) : photo.width);
  }
  const int side = std::max(net_w, net_h);
  io::Image view{.width = net_w * kViewSide / side, .height = net_h * kViewSide / side, .channels = photo.channels};
  view.pixels.resize(static_cast<std::size_t>(view.width) * view.height * photo.channels);
  cpu::resize({.pixels = photo.pixels.data(),
               .width = photo.width,
               .height = photo.height,
               .channels = photo.channels,
               .y = make_tensor(view.pixels.data(), DType::u8, 1, view.height, view.width, photo.channels),
               .resampling = Resampling::area,
               .fit = Fit::letterbox});
  return view;
}

LayerView layer_view(const Model& model, Detector& detector, int node, const InspectOptions& options) {
  const Graph& graph = model.network->graph;
  if (node < 0 || node >= graph.size())
    throw Error(
        fmt::format("{} has no layer {}: its layers are 0 to {}", model.network->cfg.name, node, graph.size() - 1));
  const Tensor output = detector.executor().output(node).images(0, 1);
  LayerView view{.maps = layer_maps(node, {output.h, output.w, output.c}, floats_of(output, detector.executor()),
                                    options.channels)};
  view.column = options.cell ? options.cell->first : view.maps.column;
  view.row = options.cell ? options.cell->second : view.maps.row;
  if (view.column < 0 || view.column >= output.w || view.row < 0 || view.row >= output.h)
    throw Error(fmt::format("layer {} has {}x{} cells; there is no cell {},{}", node, output.w, output.h, view.column,
                            view.row));
  view.sees = receptive_window(graph, node, {view.column, view.row, view.column, view.row}, detector.height(),
                               detector.width(), Border::cut);
  view.field = receptive_field(graph, node, detector.height(), detector.width());
  return view;
}

void add_truths(PhotoInside& inside, const InspectPhoto& photo, int net_w, int net_h) {
  std::vector<Truth> truths = photo.truths;
  inside.truth_source = photo.labelled ? TruthSource::labels : TruthSource::detections;
  if (!photo.labelled)
    for (const Detection& d : inside.detections) truths.push_back({d.x, d.y, d.w, d.h, d.cls});
  if (truths.empty() && !photo.labelled) inside.truth_source = TruthSource::none;
  inside.photo_truths = truths;
  for (const Truth& truth : truths) inside.truths.push_back(on_input(truth, inside, net_w, net_h));
}

PhotoInside look(Model& model, const InspectOptions& options, const InspectPhoto& photo) {
  DetectorOptions detecting = options.detector;
  detecting.batch = 1;
  detecting.keep_all = true;
  Detector detector(*model.network, *model.params, model.preprocess, detecting);
  const int width = detector.width(), height = detector.height();
  detector.load(0, photo.image);
  PhotoInside inside{.name = photo.name,
                     .view = view_of(photo.image, model.preprocess, width, height),
                     .photo_w = photo.image.width,
                     .photo_h = photo.image.height,
                     .preprocess = model.preprocess,
                     .detections = detector.run(1).front(),
                     .labels = photo.labels};
  std::vector<int> layers = options.layers;
  if (layers.empty()) layers = interesting_layers(model.network->graph, height, width, kLayers);
  for (const int layer : layers) inside.layers.push_back(layer_view(model, detector, layer, options));
  inside.heads = head_cells(*model.network, detector, *detecting.backend);
  add_truths(inside, photo, width, height);
  const TrainConfig config = training_of(model);
  inside.rule = fmt::format("{}, {} loss", config.recipe, config.loss == LossMode::fixed ? "rook's own" : "darknet's");
  if (inside.truths.empty()) return inside;
  inside.claims = claims_of(*model.network, config, inside.heads, inside.truths, width, height);
  inside.step =
      step_gradients(model, config, *detecting.backend, detecting.conv,
                     floats_of(detector.executor().input(), detector.executor()), inside.truths, width, height);
  return inside;
}

}  // namespace

Truth on_input(const Truth& box, const PhotoInside& photo, int net_w, int net_h) {
  if (photo.preprocess.fit == Fit::stretch) return box;
  return letterboxed(box, photo.photo_w, photo.photo_h, net_w, net_h);
}

Inspection inspect(Model& model, const InspectOptions& options, const InspectPhoto* photo) {
  const Network& network = *model.network;
  const int width = options.detector.width ? options.detector.width : network.width;
  const int height = options.detector.height ? options.detector.height : network.height;
  Inspection inspection{.source = model.source, .names = model.names, .network = &network, .facts = {}, .photo = {}};
  if (photo) inspection.photo = look(model, options, *photo);
  inspection.facts = network_facts(
      model, width, height, options.runs,
      {.backend = options.detector.backend, .compute = options.detector.compute, .conv = options.detector.conv});
  return inspection;
}

}  // namespace rook
