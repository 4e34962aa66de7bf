// How a photo is brought to the network's size; kept with the weights, the same in training, evaluation and detection.
#pragma once

#include <string>

#include "io/image.h"
#include "kernels/ops.h"

namespace rook {

struct Preprocess {
  Resampling resampling = Resampling::align_corners;  // darknet's own
  Fit fit = Fit::stretch;
  bool operator==(const Preprocess&) const = default;
};

std::string to_text(const Preprocess& preprocess);         // "stretch, half-pixel"
Resampling resampling_from_name(const std::string& name);  // half-pixel | align-corners | area; throws Error
Fit fit_from_name(const std::string& name);                // stretch | letterbox; throws Error
const char* name_of(Resampling resampling);
const char* name_of(Fit fit);

// A photo brought to a size on the CPU.
io::Image resized(const io::Image& photo, int width, int height, const Preprocess& preprocess);

// A box of a photo on the letterboxed picture: the inverse of undo_letterbox.
Truth letterboxed(Truth truth, int photo_w, int photo_h, int net_w, int net_h);
// A box found on the network's input, relative to it, as a box relative to the photo (darknet.md 5.4).
void undo_letterbox(Detection& box, int photo_w, int photo_h, int net_w, int net_h);

}  // namespace rook
