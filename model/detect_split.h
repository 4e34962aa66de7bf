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

// Decodes and runs the photos, a batch at a time. Throws Error naming the photo that cannot be read, and when `stop`
// (may be null) was set. `done` is told how many photos are done.
std::vector<ImageResult> detect_split(Detector& detector, const io::Split& split, int channels,
                                      const std::atomic<bool>* stop, const std::function<void(int)>& done = {});

// Detections of a model with classes `names` as detections of the classes `wanted`, by name. Those of other classes are
// left out.
void rename_classes(std::vector<ImageResult>& results, const std::vector<std::string>& names,
                    const std::vector<std::string>& wanted);

}  // namespace rook
