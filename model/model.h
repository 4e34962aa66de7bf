// A network with weights, class names and preprocessing: all that is needed to detect.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/params.h"
#include "io/darknet_weights.h"
#include "model/network.h"
#include "model/preprocess.h"

namespace rook {

struct Model {
  std::unique_ptr<Network> network;
  std::unique_ptr<Params> params;  // what detection uses: of a checkpoint its EMA where it has one
  std::vector<std::string> names;  // one per class
  Preprocess preprocess;
  std::string source;        // where it came from, for messages
  io::DarknetHeader header;  // of the darknet weights it came from, for the way back
};

struct LoadOptions {
  std::string names_file;  // class names where the weights have none ("": class_0, class_1, ...)
  bool lenient = false;    // cfg: unknown keys are warnings
  bool live = false;       // of a checkpoint the live weights instead of the EMA
  // Darknet weights: what batch norm adds to the variance (0: the cfg's, 1e-5 as in darknet). OpenCV takes 1e-6.
  float bn_eps = 0;
};

// `what` is a run folder (its best checkpoint, or the last), a checkpoint, or NETWORK:FILE.weights with NETWORK a cfg
// file or one of ours. Throws Error that says which of these it was taken for.
Model load_model(const std::string& what, const LoadOptions& options = {});

// A network without weights, parameters at random.
Model make_model(const io::Cfg& cfg, std::vector<std::string> names, std::uint64_t seed);

// class_0, class_1, ...: what classes are called where nobody names them.
std::vector<std::string> numbered_names(int classes);

// What a start from other weights did to each layer.
struct StartReport {
  std::string source;
  int loaded = 0;                  // layers
  std::vector<std::string> fresh;  // "29 [convolutional]: filters 75 -> 51"
  std::vector<int> fresh_nodes;
  // Heads whose classes are others here: known ones kept their rows by name, new ones start at random.
  std::vector<int> adapted_nodes;
  std::vector<std::string> kept_classes, new_classes, lost_classes;
  std::string text() const;
};

// The network of what `start_from` takes, where that says which it is: a run or a checkpoint has its cfg (and the size
// that it was trained at), NETWORK:FILE.weights names one. Nothing of darknet weights alone, and of "scratch".
std::optional<io::Cfg> network_of(const std::string& from, const LoadOptions& options = {});

// Fills the parameters of `model` from darknet weights, a run or a checkpoint, layer by layer where name and shape
// agree
// ("scratch": leaves the random start). Other layers are named in the report. Of a head with other classes those of the
// same name keep their weights, wherever they stand; one without any such class starts at random.
StartReport start_from(Model& model, const std::string& from, const LoadOptions& options = {});

}  // namespace rook
