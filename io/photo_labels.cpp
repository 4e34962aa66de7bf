#include <fmt/format.h>

#include <algorithm>

#include "io/dataset_internal.h"

namespace fs = std::filesystem;

namespace rook::io {

std::optional<LabelledImage> read_photo_labels(const fs::path& photo, const std::vector<std::string>& classes) {
  const std::vector<fs::path> candidates = detail::label_candidates(photo);
  if (std::none_of(candidates.begin(), candidates.end(), detail::is_file)) return std::nullopt;
  detail::RawDataset raw{.root = photo, .format = "yolo", .classes = classes, .splits = {}, .faults = {}};
  raw.split("photo").images.push_back({.file = photo, .labels = {}, .about = {}, .boxes = {}, .faults = {}});
  detail::load_yolo_labels(raw, {});
  const Dataset dataset = detail::finish_dataset(std::move(raw), {});
  for (const Fault& fault : dataset.faults)
    if (fault.fatal) throw detail::error_at(fault.file, fault.line, fault.message);
  return dataset.splits.front().images.front();
}

}  // namespace rook::io
