// Looking inside a network: its layers, and on a photo what it finds, what its layers make of it, what its heads say,
// which anchors a training would make answer for which truths, and how strongly its loss would pull at each layer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/image.h"
#include "model/inspect_claims.h"
#include "model/inspect_gradients.h"
#include "model/inspect_heat.h"
#include "model/inspect_layers.h"
#include "model/inspect_maps.h"

namespace rook {

enum class TruthSource { none, labels, detections };  // detections: what the network itself is confident of

struct InspectOptions {
  DetectorOptions detector;  // size, thresholds, device
  int runs = 5;              // for the times
  std::vector<int> layers;   // whose maps are shown; empty: some at different depths
  int channels = 24;         // of each, at most
  std::optional<std::pair<int, int>>
      cell;  // column, row, of the receptive fields; none: the one with the greatest value
};

struct InspectPhoto {
  std::string name = {};
  io::Image image = {};
  std::vector<Truth> truths = {};  // relative to the photo
  bool labelled = false;           // whether these are all of it; otherwise what the network finds takes their place
  std::string labels = {};         // where they are from
};

// A layer's maps, and the pixels of the network's input behind the cell that is shown.
struct LayerView {
  LayerMaps maps = {};
  int column = 0, row = 0;  // of that cell
  Window sees = {};         // inside the picture
  ReceptiveField field = {};
};

struct PhotoInside {
  std::string name = {};
  io::Image view = {};  // the photo as the network sees it, with the photo's own proportions where it is stretched
  int photo_w = 0, photo_h = 0;
  Preprocess preprocess = {};
  std::vector<Detection> detections = {};  // relative to the photo
  std::vector<LayerView> layers = {};
  std::vector<HeadCells> heads = {};
  TruthSource truth_source = TruthSource::none;
  std::string labels = {};
  std::vector<Truth> photo_truths = {};  // relative to the photo
  std::vector<Truth> truths = {};        // relative to the network's input, as all that follows
  std::string rule = {};                 // recipe and mode of the loss
  std::vector<Claim> claims = {};
  std::optional<StepGradients> step = {};  // none without truths
};

struct Inspection {
  std::string source;
  std::vector<std::string> names;
  const Network* network = nullptr;
  NetworkFacts facts;
  std::optional<PhotoInside> photo;
};

// The model must outlive the result; its parameters stay as they are. Throws Error: no such layer, no such cell, a
// photo for a network without heads.
Inspection inspect(Model& model, const InspectOptions& options, const InspectPhoto* photo);

// A box of the photo as one of the network's input.
Truth on_input(const Truth& box, const PhotoInside& photo, int net_w, int net_h);

nlohmann::json to_json(const Inspection& inspection);
// A line for the terminal: what was found, claimed and pulled at.
std::string summary(const PhotoInside& photo);
// One page that needs no other file, no script and no network.
std::string inspect_html(const Inspection& inspection);

}  // namespace rook
