// Joining, renaming and dropping classes.
#include <algorithm>

#include <fmt/format.h>

#include "io/cfg.h"
#include "io/dataset_internal.h"

namespace rook::io::detail {

std::vector<int> merge_classes(std::vector<std::string>& classes, const DatasetOptions& options) {
  std::vector<int> number(classes.size());
  for (std::size_t i = 0; i < number.size(); ++i) number[i] = static_cast<int>(i);
  for (const auto& [from, to] : options.merge) {
    const auto it = std::find(classes.begin(), classes.end(), from);
    if (it == classes.end()) {
      const std::optional<std::string> near = did_you_mean(from, classes);
      throw Error(fmt::format("merge {}={}: there is no class '{}'{}; classes are: {}", from, to, from,
                              near ? fmt::format(", did you mean '{}'?", *near) : "", fmt::join(classes, ", ")));
    }
    if (to.empty()) throw Error(fmt::format("merge {}=: the new name is missing", from));
    if (from == to) continue;
    const int old = static_cast<int>(it - classes.begin());
    const auto target = std::find(classes.begin(), classes.end(), to);
    if (target == classes.end()) {
      *it = to;
      continue;
    }
    const int joined = static_cast<int>(target - classes.begin());
    for (int& n : number) {
      if (n == old) n = joined;
      if (n > old) --n;
    }
    classes.erase(it);
  }
  return number;
}

void drop_unused_classes(Dataset& dataset, bool regions_use_classes) {
  std::vector<int> number(dataset.classes.size(), -1);
  for (const Split& split : dataset.splits) {
    for (const LabelledImage& image : split.images) {
      for (const LabelBox& box : image.boxes) number[static_cast<std::size_t>(box.cls)] = 0;
      if (!regions_use_classes) continue;
      for (const IgnoredRegion& region : image.ignored) number[static_cast<std::size_t>(region.cls)] = 0;
    }
  }
  std::vector<std::string> used;
  for (std::size_t i = 0; i < number.size(); ++i) {
    if (number[i] < 0) continue;
    number[i] = static_cast<int>(used.size());
    used.push_back(dataset.classes[i]);
  }
  dataset.classes = std::move(used);
  for (Split& split : dataset.splits) {
    for (LabelledImage& image : split.images) {
      for (LabelBox& box : image.boxes) box.cls = number[static_cast<std::size_t>(box.cls)];
      for (IgnoredRegion& region : image.ignored) region.cls = number[static_cast<std::size_t>(region.cls)];
      std::erase_if(image.ignored, [](const IgnoredRegion& region) { return region.cls < 0; });
    }
  }
}

}  // namespace rook::io::detail
