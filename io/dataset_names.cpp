// Names of classes where a YOLO or darknet set does not give them itself: tools leave files of them in the root, in
// folders of splits, or among the labels.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

bool is_below(const fs::path& folder, const fs::path& root) {
  const fs::path way = folder.lexically_normal().lexically_relative(root.lexically_normal());
  return !way.empty() && *way.begin() != "..";
}

// That of the root first. Others: LabelImg leaves classes.txt where it writes labels, Roboflow's darknet export
// _darknet.labels beside the photos of each split.
std::vector<fs::path> names_files(const RawDataset& raw) {
  std::set<fs::path> folders;
  for (const RawSplit& split : raw.splits) {
    for (const RawImage& image : split.images) {
      for (const fs::path& folder : {image.file.parent_path(), image.labels.parent_path()}) {
        if (!folders.insert(folder).second) continue;
        if (is_below(folder.parent_path(), raw.root)) folders.insert(folder.parent_path());
      }
    }
  }
  std::vector<fs::path> files;
  const auto add = [&](const fs::path& file) {
    const fs::path normal = file.lexically_normal();
    if (is_file(normal) && std::find(files.begin(), files.end(), normal) == files.end()) files.push_back(normal);
  };
  add(find_names(raw.root));
  for (const fs::path& folder : folders) {
    for (const char* name : {"classes.txt", "_darknet.labels"}) add(folder / name);
  }
  return files;
}

struct NamesFile {
  fs::path file;
  std::vector<std::string> names;
};

// The longest of the lists; throws Error where two give a number different names.
NamesFile read_names_files(const RawDataset& raw, std::vector<Fault>& faults) {
  NamesFile longest;
  for (const fs::path& file : names_files(raw)) {
    NamesFile other{file, read_names(file)};
    if (longest.names.empty()) {
      longest = std::move(other);
      continue;
    }
    if (other.names.size() > longest.names.size()) std::swap(other, longest);
    const auto [name, in_longest] = std::mismatch(other.names.begin(), other.names.end(), longest.names.begin());
    const int line = static_cast<int>(name - other.names.begin()) + 1;
    if (name != other.names.end()) {
      throw error_at(other.file, line,
                     fmt::format("class {} is '{}' here and '{}' in {}: make them agree, or remove what is wrong",
                                 line - 1, *name, *in_longest, longest.file.string()));
    }
    if (other.names.size() == longest.names.size()) continue;
    faults.push_back({Fault::Kind::class_names, other.file, 0,
                      fmt::format("{} names, but {} goes on to {}, which are taken", other.names.size(),
                                  longest.file.string(), longest.names.size()),
                      false});
  }
  return longest;
}

int used_classes(const RawDataset& raw) {
  int count = 0;
  for (const RawSplit& split : raw.splits) {
    for (const RawImage& image : split.images) {
      for (const RawBox& box : image.boxes) count = std::max(count, box.cls + 1);
    }
  }
  return count;
}

}  // namespace

void name_classes(RawDataset& raw, int count) {
  const NamesFile found = read_names_files(raw, raw.faults);
  if (!found.names.empty() && (count == 0 || count == static_cast<int>(found.names.size()))) {
    raw.classes = found.names;
    return;
  }
  if (count == 0) count = used_classes(raw);
  if (count == 0) return;
  for (int i = 0; i < count; ++i) raw.classes.push_back(fmt::format("class_{}", i));
  const std::string why = found.names.empty()
                              ? "write them to classes.txt, one a line"
                              : fmt::format("{} has {}, not {}", found.file.string(), found.names.size(), count);
  raw.faults.push_back({Fault::Kind::class_names, raw.root, 0,
                        fmt::format("no names of classes, which are class_0 to {}: {}", raw.classes.back(), why),
                        false});
}

}  // namespace rook::io::detail
