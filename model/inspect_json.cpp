// What an inspection found, as numbers.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "kernels/box.h"
#include "model/detections.h"
#include "model/inspect.h"

namespace rook {
namespace {

const char* name_of(TruthSource source) {
  return source == TruthSource::labels ? "labels" : source == TruthSource::detections ? "detections" : "none";
}

nlohmann::json to_json(const LayerView& view) {
  nlohmann::json channels = nlohmann::json::array();
  for (const ChannelMap& map : view.maps.channels)
    channels.push_back({{"channel", map.channel}, {"low", map.low}, {"high", map.high}, {"deviation", map.deviation}});
  return {
      {"layer", view.maps.node},
      {"silent_channels", view.maps.silent},
      {"channels", channels},
      {"greatest",
       {{"value", view.maps.greatest}, {"channel", view.maps.channel}, {"cell", {view.maps.column, view.maps.row}}}},
      {"cell", {view.column, view.row}},
      {"sees", {view.sees.left, view.sees.top, view.sees.right, view.sees.bottom}}};
}

nlohmann::json to_json(const HeadCells& cells, const Head& head, int net_w, int net_h) {
  nlohmann::json anchors = nlohmann::json::array();
  for (int a = 0; a < cells.anchors; ++a) {
    const Box<double> shape =
        anchor_shape<double>(head.spec, head.spec.mask[a], cells.columns, cells.rows, net_w, net_h);
    const std::vector<float> plane = cells.objectness(a);
    anchors.push_back({{"width", shape.w * net_w},
                       {"height", shape.h * net_h},
                       {"largest_objectness", *std::max_element(plane.begin(), plane.end())}});
  }
  return {{"layer", cells.node}, {"cells", {cells.columns, cells.rows}}, {"anchors", anchors}};
}

nlohmann::json to_json(const StepGradients& step) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerGradient& layer : step.layers)
    layers.push_back({{"layer", layer.node},
                      {"gradient", layer.gradient},
                      {"weight", layer.weight},
                      {"ratio", layer.ratio()},
                      {"others", layer.others}});
  return {{"loss", {{"box", step.loss.box}, {"objectness", step.loss.objectness}, {"classes", step.loss.classes}}},
          {"gradient_norm", step.norm},
          {"layers", layers}};
}

nlohmann::json to_json(const PhotoInside& photo, const Inspection& all) {
  nlohmann::json json =
      rook::to_json(photo.name, photo.photo_w, photo.photo_h, all.facts.ms, photo.detections, all.names);
  json["maps"] = nlohmann::json::array();
  for (const LayerView& view : photo.layers) json["maps"].push_back(to_json(view));
  json["heads"] = nlohmann::json::array();
  for (std::size_t h = 0; h < photo.heads.size(); ++h)
    json["heads"].push_back(to_json(photo.heads[h], all.network->heads[h], all.facts.width, all.facts.height));
  json["truths_from"] = name_of(photo.truth_source);
  json["truths"] = nlohmann::json::array();
  for (const Truth& t : photo.photo_truths) {
    const PixelBox box = to_pixels({t.x, t.y, t.w, t.h, 0, 0, t.cls, 0}, photo.photo_w, photo.photo_h);
    json["truths"].push_back({{"class", all.names.at(static_cast<std::size_t>(t.cls))},
                              {"box", {box.left, box.top, box.width, box.height}}});
  }
  json["claims"] = nlohmann::json::array();
  for (const Claim& claim : photo.claims)
    json["claims"].push_back({{"truth", claim.truth},
                              {"head", claim.head},
                              {"cell", {claim.column, claim.row}},
                              {"anchor", claim.anchor},
                              {"shape_overlap", claim.shape_overlap},
                              {"objectness", claim.objectness},
                              {"overlap", claim.overlap}});
  json["step"] = photo.step ? to_json(*photo.step) : nlohmann::json();
  return json;
}

}  // namespace

std::string summary(const PhotoInside& photo) {
  std::string text = fmt::format("{}: {} boxes found; ", photo.name, photo.detections.size());
  if (!photo.step) return text + "no truths, so no claims and no gradients";
  return text + fmt::format("{} truths ({}), {} claims, loss {:.3g}, gradient norm {:.3g}", photo.truths.size(),
                            photo.truth_source == TruthSource::labels ? photo.labels : "what was found stands in",
                            photo.claims.size(),
                            photo.step->loss.box + photo.step->loss.objectness + photo.step->loss.classes,
                            photo.step->norm);
}

nlohmann::json to_json(const Inspection& inspection) {
  nlohmann::json json = to_json(inspection.facts);
  if (inspection.photo) json["photo"] = to_json(*inspection.photo, inspection);
  return json;
}

}  // namespace rook
