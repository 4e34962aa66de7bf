// darknet .data files: `key = value` lines that name lists of photos and a names file (darknet.md 8.8, 8.9). Labels are
// YOLO text.
#include <map>
#include <vector>

#include <fmt/format.h>

#include "io/cfg.h"
#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kKeys = {"classes", "train",   "valid", "test",   "names",       "backup",  "difficult",
                                        "eval",    "results", "map",   "labels", "saveweights", "savelast"};

struct DataEntry {
  std::string value;
  int line = 0;
};

std::map<std::string, DataEntry> parse_data(const fs::path& file, std::vector<Fault>& faults) {
  std::map<std::string, DataEntry> entries;
  for (const TextLine& line : read_lines(file)) {
    if (line.text.front() == '#' || line.text.front() == ';') continue;
    const std::size_t equals = line.text.find('=');
    if (equals == std::string::npos) throw error_at(file, line.line, "must be 'key = value'");
    std::string key(trimmed(std::string_view(line.text).substr(0, equals)));
    if (const auto split = split_of_key(key)) key = *split;
    const std::string value(trimmed(std::string_view(line.text).substr(equals + 1)));
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      const std::optional<std::string> near = did_you_mean(key, kKeys);
      faults.push_back({Fault::Kind::bad_line, file, line.line,
                        fmt::format("unknown key '{}'{}", key, near ? fmt::format(": did you mean '{}'?", *near) : ""),
                        false});
      continue;
    }
    if (value.empty()) throw error_at(file, line.line, fmt::format("'{}' has no value", key));
    if (!entries.emplace(key, DataEntry{value, line.line}).second) {
      throw error_at(file, line.line, fmt::format("'{}' stands here a second time", key));
    }
  }
  return entries;
}

// `classes`, 0 where it is not given.
int class_count(const fs::path& file, const std::map<std::string, DataEntry>& entries) {
  const auto entry = entries.find("classes");
  if (entry == entries.end()) return 0;
  const std::optional<int> value = parse_integer(entry->second.value);
  if (!value || *value < 1 || *value > kMostClasses) {
    throw error_at(file, entry->second.line, "'classes' must be the number of classes");
  }
  return *value;
}

// What the file `names` says; none where it is not given.
std::vector<std::string> class_names(const fs::path& file, const std::map<std::string, DataEntry>& entries, int count,
                                     std::span<const fs::path> bases) {
  const auto entry = entries.find("names");
  if (entry == entries.end()) return {};
  const fs::path names_file = resolve_listed(entry->second.value, bases);
  if (!is_file(names_file)) {
    throw error_at(file, entry->second.line, fmt::format("no names file '{}'", entry->second.value));
  }
  std::vector<std::string> names = read_names(names_file);
  if (count != 0 && count != static_cast<int>(names.size())) {
    throw error_at(file, entries.at("classes").line,
                   fmt::format("classes = {}, but {} has {} names", count, names_file.string(), names.size()));
  }
  return names;
}

}  // namespace

// darknet takes paths relative to where it is started. Nobody knows where that was, so they are looked for from the
// folder of the .data file, from the one above it (data/obj.data naming data/train.txt), and from the current folder,
// in this order; lines of a list also from the folder of the list.
RawDataset read_darknet(const fs::path& data, const DatasetOptions& options) {
  RawDataset raw;
  const fs::path folder = fs::absolute(data).parent_path();
  raw.root = folder;
  raw.format = "darknet";
  const std::map<std::string, DataEntry> entries = parse_data(data, raw.faults);
  const std::vector<fs::path> bases = {folder, folder.parent_path()};
  const int count = class_count(data, entries);
  raw.classes = class_names(data, entries, count, bases);
  bool any = false;
  std::vector<YoloSource> sources;
  for (const char* key : {"train", "valid", "test"}) {
    const auto entry = entries.find(key);
    if (entry == entries.end()) continue;
    any = true;
    const fs::path list = resolve_listed(entry->second.value, bases);
    if (!is_file(list)) {
      raw.faults.push_back({Fault::Kind::missing_image, data, entry->second.line,
                            fmt::format("{}: no list of photos '{}': no such split", key, entry->second.value), false});
      continue;
    }
    sources.push_back({key, list, {folder, folder.parent_path(), list.parent_path()}});
  }
  if (!any)
    throw Error(fmt::format("{}: names no list of photos: it needs 'train = ...' or 'valid = ...'", data.string()));
  read_yolo_sources(raw, sources, options);
  if (raw.classes.empty()) name_classes(raw, count);
  return raw;
}

}  // namespace rook::io::detail
