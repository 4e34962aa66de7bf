// A detector over the labelled photos of a split: what evaluation wants to see.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "model/detector.h"
#include "model/evaluate.h"

namespace rook {

// A photo of a split that cannot be read, and why.
struct Unreadable {
  std::size_t index;
  std::string why;
};

// Decodes and runs the photos, a batch at a time. What cannot be read is added to `unreadable` and has no result;
// without that list it is an Error naming the photo. Throws Error when `stop` (may be null) was set. `done` is told
// after each batch how many photos have been looked at.
std::vector<ImageResult> detect_split(Detector& detector, const io::Split& split, int channels,
                                      const std::atomic<bool>* stop, const std::function<void(int)>& done = {},
                                      std::vector<Unreadable>* unreadable = nullptr);

// Detections of a model with classes `names` as detections of the classes `wanted`, by name. Those of other classes are
// left out.
void rename_classes(std::vector<ImageResult>& results, const std::vector<std::string>& names,
                    const std::vector<std::string>& wanted);

}  // namespace rook
