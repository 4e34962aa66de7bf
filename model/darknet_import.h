// darknet .weights <-> parameters (darknet.md 2). Which floats belong to which layer is decided by the network alone,
// so a file that does not fit is refused instead of shifting everything after the first mismatch.
#pragma once

#include <string>
#include <vector>

#include "engine/params.h"
#include "io/darknet_weights.h"
#include "model/network.h"

namespace rook {

enum class ImportKind { exact, partial, other_classes };

struct ImportReport {
  ImportKind kind = ImportKind::exact;
  int layers = 0;            // partial: layers [0, layers) came from the file
  int file_classes = 0;      // other_classes: what the file was trained for
  std::vector<int> skipped;  // layers with parameters that kept their own
  std::string text() const;  // one line for people
};

// Takes a file that fits exactly (with either header size), or that ends at a layer boundary (`.conv.N`: the rest keeps
// its values), or that fits but for the class count of the heads (their convolutions keep their values). Otherwise
// throws Error with what each layer wants and where the file ends. Throws too on negative variances, the mark of a
// shifted file.
ImportReport import_darknet(const Network& network, Params& params, const io::DarknetWeights& weights);

// Layers [0, layers) as a darknet file (all when layers < 0), header 0.2.5.
io::DarknetWeights export_darknet(const Network& network, const Params& params, int layers = -1);

}  // namespace rook
