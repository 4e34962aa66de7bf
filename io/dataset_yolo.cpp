// YOLO text labels: one .txt per photo with lines `class x y w h` (centre and size, 0..1), and data.yaml.
// darknet reads labels as a stream of numbers, so that one column too many silently shifts every later row; here a line
// is a line, with exactly five fields (darknet.md 8.6).
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "io/cfg.h"
#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

constexpr int kMostClasses = 10000;  // a larger class number is a mistake, not a class

// One line of labels, or what is wrong with it.
std::string parse_label_line(std::string_view line, RawBox& box) {
  const std::vector<std::string_view> fields = fields_of(line);
  if (fields.size() != 5) {
    const char* hint = fields.size() == 6                            ? " (a sixth: a score or a track number?)"
                       : fields.size() > 6 && fields.size() % 2 == 1 ? " (a polygon? convert it to a box)"
                                                                     : "";
    return fmt::format("{} fields{}, must be five: class x y width height", fields.size(), hint);
  }
  const std::optional<int> cls = parse_integer(fields[0]);
  if (!cls) return fmt::format("class '{}' is not a whole number", fields[0]);
  box.cls = *cls;
  double* const values[] = {&box.x, &box.y, &box.w, &box.h};
  for (int i = 0; i < 4; ++i) {
    const std::string_view field = fields[static_cast<std::size_t>(i) + 1];
    const std::optional<double> value = parse_number(field);
    if (!value) return fmt::format("'{}' is not a number", field);
    *values[i] = *value;
  }
  return {};
}

struct DataYaml {
  std::vector<std::string> names;
  int classes = 0;  // nc, 0 when not given
  struct Entry {
    std::string split, text;
    int line;
  };
  std::vector<Entry> entries;
  std::string path;
  std::vector<Fault> faults;
};

int line_of(const YAML::Node& node) {
  return std::max(0, node.Mark().line) + 1;
}

std::string text_of(const fs::path& file, const YAML::Node& node, const std::string& key) {
  if (!node.IsScalar() || trimmed(node.Scalar()).empty()) {
    throw error_at(file, line_of(node), fmt::format("'{}' must be a text", key));
  }
  return std::string(trimmed(node.Scalar()));
}

std::vector<std::string> parse_yaml_names(const fs::path& file, const YAML::Node& node) {
  std::vector<std::string> names;
  if (node.IsSequence()) {
    for (const YAML::Node& name : node) names.push_back(text_of(file, name, "names"));
  } else if (node.IsMap()) {
    names.resize(node.size());
    for (const auto& entry : node) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
      const std::optional<int> id = parse_integer(trimmed(key));
      if (!id || *id < 0 || *id >= static_cast<int>(names.size())) {
        throw error_at(
            file, line_of(entry.first),
            fmt::format("class number '{}': {} names are numbered 0 to {}", key, names.size(), names.size() - 1));
      }
      names[static_cast<std::size_t>(*id)] = text_of(file, entry.second, "names");
    }
  } else {
    throw error_at(file, line_of(node), "'names' must be a list, or a map of numbers to names");
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty() || !seen.insert(name).second) {
      throw error_at(file, line_of(node), fmt::format("class '{}' is named twice, or a number is", name));
    }
  }
  if (names.empty()) throw error_at(file, line_of(node), "'names' is empty");
  return names;
}

// Other tools keep keys of their own in the file, so only those that look like a slip are worth a word.
void check_unknown_key(const fs::path& file, const std::string& key, int line, DataYaml& data) {
  const std::optional<std::string> meant = did_you_mean(key, {"train", "val", "valid", "test", "names", "nc", "path"});
  if (!meant) return;
  data.faults.push_back({Fault::Kind::bad_line, file, line,
                         fmt::format("unknown key '{}' is ignored: did you mean '{}'?", key, *meant), false});
}

// False for a key it does not know.
bool parse_yaml_entry(const fs::path& file, const std::string& key, const YAML::Node& value, DataYaml& data) {
  if (key == "names") {
    data.names = parse_yaml_names(file, value);
  } else if (key == "nc") {
    const std::optional<int> count = value.IsScalar() ? parse_integer(trimmed(value.Scalar())) : std::nullopt;
    if (!count || *count < 1 || *count > kMostClasses) {
      throw error_at(file, line_of(value), "'nc' must be the number of classes");
    }
    data.classes = *count;
  } else if (key == "path") {
    if (!value.IsNull()) data.path = text_of(file, value, key);
  } else if (key == "train" || key == "val" || key == "valid" || key == "validation" || key == "test") {
    const std::string split = *split_name(key);
    if (value.IsNull()) return true;
    if (value.IsSequence()) {
      for (const YAML::Node& part : value) data.entries.push_back({split, text_of(file, part, key), line_of(part)});
    } else {
      data.entries.push_back({split, text_of(file, value, key), line_of(value)});
    }
  } else {
    return false;
  }
  return true;
}

DataYaml parse_yaml(const fs::path& file) {
  DataYaml data;
  const std::string text = read_text(file);
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) throw error_at(file, 1, "not a data.yaml: it must have lines 'train: ...', 'names: ...'");
    std::set<std::string> keys;
    for (const auto& entry : root) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
      if (!keys.insert(key).second) {
        throw error_at(file, line_of(entry.first), fmt::format("'{}' stands here a second time", key));
      }
      if (!parse_yaml_entry(file, key, entry.second, data)) check_unknown_key(file, key, line_of(entry.first), data);
    }
    if (!data.names.empty() && data.classes != 0 && data.classes != static_cast<int>(data.names.size())) {
      throw error_at(file, line_of(root["nc"]),
                     fmt::format("nc is {}, but there are {} names", data.classes, data.names.size()));
    }
  } catch (const YAML::Exception& error) {
    throw error_at(file, std::max(0, error.mark.line) + 1, "not valid YAML: " + error.msg);
  }
  if (data.entries.empty()) throw error_at(file, 1, "no photos named: it needs 'train:', 'val:' or 'test:'");
  return data;
}

// Relative to `path:`, and to the yaml. Roboflow writes ../train/images for what lies beside the yaml.
fs::path resolve_entry(const DataYaml& data, const std::string& text, const fs::path& folder) {
  std::vector<fs::path> bases;
  if (!data.path.empty()) bases.push_back(folder / data.path);
  bases.push_back(folder);
  const fs::path found = resolve(text, bases);
  if (!found.empty() || !text.starts_with("../")) return found;
  return resolve(text.substr(3), bases);
}

void add_folder(const fs::path& folder, RawSplit& split, std::vector<Fault>& faults) {
  std::set<fs::path> label_folders;
  std::set<fs::path> expected;
  for (const fs::path& photo : photos_in(folder, true)) {
    RawImage image;
    image.file = photo;
    split.images.push_back(std::move(image));
    const std::vector<fs::path> candidates = label_candidates(photo);
    for (std::size_t i = 1; i < candidates.size(); ++i) {
      expected.insert(candidates[i]);
      label_folders.insert(candidates[i].parent_path());
    }
  }
  for (const fs::path& labels : label_folders) {
    for (const fs::path& file : files_in(labels, ".txt")) {
      if (expected.contains(file) || file.filename() == "classes.txt") continue;
      faults.push_back({Fault::Kind::missing_image, file, 0, "labels without a photo", true});
    }
  }
}

void add_source(const fs::path& where, std::span<const fs::path> bases, RawSplit& split, std::vector<Fault>& faults) {
  if (is_folder(where)) {
    add_folder(where, split, faults);
  } else {
    read_photo_list(where, bases, split, faults);
  }
}

// Folders named for two splits are read twice, their faults told once.
class SourceReader {
 public:
  explicit SourceReader(RawDataset& raw) : raw_(raw) {}
  void add(const std::string& split, const fs::path& where, std::span<const fs::path> bases) {
    std::vector<Fault> faults;
    add_source(where, bases, raw_.split(split), faults);
    if (seen_.insert(where).second) raw_.faults.insert(raw_.faults.end(), faults.begin(), faults.end());
  }

 private:
  RawDataset& raw_;
  std::set<fs::path> seen_;
};

void load_all(RawDataset& raw, const DatasetOptions& options) {
  for (RawSplit& split : raw.splits) load_yolo_labels(split.images, options);
}

}  // namespace

void parse_yolo_labels(std::string_view text, RawImage& image) {
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    RawBox box{.line = number};
    const std::string wrong = parse_label_line(line, box);
    if (!wrong.empty()) {
      image.faults.push_back({Fault::Kind::bad_line, image.labels, number, wrong, true});
    } else if (box.cls < 0 || box.cls >= kMostClasses) {
      image.faults.push_back(
          {Fault::Kind::unknown_class, image.labels, number, fmt::format("there is no class {}", box.cls), true});
    } else {
      image.boxes.push_back(box);
    }
  }
}

std::vector<fs::path> label_candidates(const fs::path& photo) {
  fs::path sibling = photo;
  sibling.replace_extension(".txt");
  std::vector<fs::path> candidates = {sibling};
  std::vector<fs::path> parts(sibling.begin(), sibling.end());
  for (std::size_t i = parts.size(); i-- > 0;) {  // the innermost images/ first
    if (i + 1 == parts.size() || (parts[i] != "images" && parts[i] != "JPEGImages")) continue;
    fs::path candidate;
    for (std::size_t j = 0; j < parts.size(); ++j) candidate /= j == i ? fs::path("labels") : parts[j];
    candidates.push_back(candidate);
  }
  return candidates;
}

void load_yolo_labels(std::vector<RawImage>& images, const DatasetOptions& options) {
  parallel_for(images.size(), [&](std::size_t i) {
    RawImage& image = images[i];
    if (image.dropped) return;
    const std::vector<fs::path> candidates = label_candidates(image.file);
    const auto found = std::find_if(candidates.begin(), candidates.end(), is_file);
    if (found == candidates.end()) {
      image.labels = candidates.back();
      if (options.missing_label_is_negative) return;
      image.dropped = true;
      image.faults.push_back(
          {Fault::Kind::missing_label, image.file, 0,
           fmt::format("no labels at {} (an empty file says: nothing to see)", candidates.back().string()), true});
      return;
    }
    image.labels = *found;
    try {
      parse_yolo_labels(read_text(*found), image);
    } catch (const Error&) {
      image.dropped = true;
      image.faults.push_back({Fault::Kind::missing_label, *found, 0, "cannot be read", true});
    }
  });
}

void read_photo_list(const fs::path& list, std::span<const fs::path> bases, RawSplit& split,
                     std::vector<Fault>& faults) {
  for (const TextLine& line : read_lines(list)) {
    RawImage image;
    image.file = resolve(line.text, bases);
    if (!is_file(image.file)) {
      faults.push_back({Fault::Kind::missing_image, list, line.line, fmt::format("no photo '{}'", line.text), true});
      continue;
    }
    split.images.push_back(std::move(image));
  }
}

std::vector<std::string> numbered_classes(const RawDataset& raw) {
  int count = 0;
  for (const RawSplit& split : raw.splits) {
    for (const RawImage& image : split.images) {
      for (const RawBox& box : image.boxes) count = std::max(count, box.cls + 1);
    }
  }
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(fmt::format("class_{}", i));
  return names;
}

RawDataset read_yolo_yaml(const fs::path& yaml, const DatasetOptions& options) {
  const DataYaml data = parse_yaml(yaml);
  const fs::path folder = fs::absolute(yaml).parent_path();
  RawDataset raw;
  raw.root = folder;
  raw.format = "yolo";
  raw.faults = data.faults;
  SourceReader reader(raw);
  for (const DataYaml::Entry& entry : data.entries) {
    const fs::path where = resolve_entry(data, entry.text, folder);
    if (where.empty()) {
      raw.faults.push_back({Fault::Kind::missing_image, yaml, entry.line,
                            fmt::format("{}: no folder or list of photos '{}'", entry.split, entry.text), true});
      continue;
    }
    const std::vector<fs::path> bases = {where.parent_path(), folder / data.path, folder, fs::current_path()};
    reader.add(entry.split, where, bases);
  }
  load_all(raw, options);
  const fs::path names = find_names(folder);
  if (!data.names.empty()) {
    raw.classes = data.names;
  } else if (data.classes > 0) {
    for (int i = 0; i < data.classes; ++i) raw.classes.push_back(fmt::format("class_{}", i));
  } else {
    raw.classes = names.empty() ? numbered_classes(raw) : read_names(names);
  }
  return raw;
}

RawDataset read_yolo_folders(const fs::path& root, const std::vector<YoloSource>& sources,
                             const DatasetOptions& options) {
  RawDataset raw;
  raw.root = root;
  raw.format = "yolo";
  SourceReader reader(raw);
  for (const YoloSource& source : sources) {
    const std::vector<fs::path> bases = {source.where.parent_path(), root};
    reader.add(source.split, source.where, bases);
  }
  load_all(raw, options);
  const fs::path names = find_names(root);
  raw.classes = names.empty() ? numbered_classes(raw) : read_names(names);
  return raw;
}

}  // namespace rook::io::detail
