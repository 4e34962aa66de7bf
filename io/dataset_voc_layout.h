// Where the files of a Pascal VOC data set lie: which XML files and photos belong together, and to which split.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/dataset.h"

namespace rook::io::detail {

struct VocEntry {
  std::filesystem::path xml;    // empty: the photo has none and is a negative
  std::filesystem::path photo;  // empty: there is none of that name
};

struct VocPart {
  std::string split;
  std::vector<VocEntry> entries = {};
};

// `folder` is one that has_voc (dataset_internal.h) says yes to. Lines of lists that name nothing, photos without XML
// and lists whose use is not known become faults.
std::vector<VocPart> find_voc(const std::filesystem::path& folder, const DatasetOptions& options,
                              std::vector<Fault>& faults);

}  // namespace rook::io::detail
