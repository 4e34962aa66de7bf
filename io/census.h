// What is in a dataset, counted: what `rook data check` prints.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "io/dataset.h"

namespace rook::io {

struct SplitCensus {
  std::string name;
  std::int64_t images = 0, boxes = 0;
  std::int64_t negatives = 0;                 // images without boxes
  std::vector<std::int64_t> boxes_of_class;   // [classes]
  std::vector<std::int64_t> images_of_class;  // [classes], images with at least one
  // COCO's areas in pixels of the photo: small below 32x32, medium below 96x96, large. Photos of unknown size: unsized.
  std::int64_t small = 0, medium = 0, large = 0, unsized = 0;
  int most_boxes = 0;  // in one image
};

struct PhotoSize {
  int width = 0, height = 0;
  std::int64_t images = 0;
};

struct FaultCount {
  std::int64_t warnings = 0, fatal = 0;  // fatal: a box or photo was left out
  std::string first;                     // "file:line: message"
};

struct Census {
  std::string root, format;
  std::vector<std::string> classes;
  std::vector<SplitCensus> splits;
  std::vector<PhotoSize> sizes;  // of all splits, the most frequent first
  std::map<Fault::Kind, FaultCount> faults;
  std::int64_t shared_photos = 0;  // files that are in more than one split
  // Box sides relative to the photo: smallest, median, largest; zeros without boxes.
  std::array<float, 3> box_width{}, box_height{};

  std::int64_t images() const;
  std::int64_t boxes() const;
};

Census take_census(const Dataset& dataset);
// A table for people; ends with a newline.
std::string to_text(const Census& census);
nlohmann::json to_json(const Census& census);

}  // namespace rook::io
