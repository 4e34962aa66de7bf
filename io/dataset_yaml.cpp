// data.yaml, which names the photos of each split and the classes; labels are YOLO text (dataset_yolo.cpp).
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "io/cfg.h"
#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

struct DataYaml {
  std::vector<std::string> names;
  int classes = 0;  // nc, 0 when not given
  struct Entry {
    std::string split, text;
    int line;
  };
  std::vector<Entry> entries;
  std::string path;
  bool keypoints = false;  // kpt_shape stands there: labels of poses
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
  } else if (key == "kpt_shape") {
    data.keypoints = true;
  } else if (const auto split = split_of_key(key)) {
    if (value.IsNull()) return true;
    if (value.IsSequence()) {
      for (const YAML::Node& part : value) data.entries.push_back({*split, text_of(file, part, key), line_of(part)});
    } else {
      data.entries.push_back({*split, text_of(file, value, key), line_of(value)});
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

// Where the paths of a data.yaml lead: relative to `path:`, and to the yaml.
class YamlPaths {
 public:
  YamlPaths(const fs::path& yaml, const DataYaml& data) : yaml_(yaml), folder_(fs::absolute(yaml).parent_path()) {
    const std::vector<fs::path> here = {folder_};
    const fs::path path = resolve(data.path, here);
    std::error_code error;
    const bool elsewhere = !path.empty() && !fs::equivalent(path, folder_, error);
    if (elsewhere) bases_.push_back(path);
    bases_.push_back(folder_);
    roboflow_ = !elsewhere && std::any_of(data.entries.begin(), data.entries.end(), [&](const DataYaml::Entry& entry) {
      return is_above(entry.text) && !resolve(entry.text.substr(3), here).empty();
    });
  }

  std::span<const fs::path> bases() const { return bases_; }

  // An empty path where there is nothing.
  fs::path find(const DataYaml::Entry& entry, std::vector<Fault>& faults) const {
    if (is_above(entry.text) && roboflow_) return beside_yaml(entry, faults);
    fs::path found = resolve_exported(entry.text, bases_);
    if (found.empty() && entry.text.starts_with("../")) found = resolve(entry.text.substr(3), bases_);
    return found.empty() ? after_own_name(entry.text) : found;
  }

 private:
  static bool is_above(const std::string& text) { return text.starts_with("../") && !text.starts_with("../../"); }

  // Roboflow writes ../train/images for what lies beside the yaml. Where one entry of a yaml means that all do: what
  // lies above the yaml's folder then belongs to something else.
  fs::path beside_yaml(const DataYaml::Entry& entry, std::vector<Fault>& faults) const {
    const fs::path beside = resolve(entry.text.substr(3), bases_), literal = resolve(entry.text, bases_);
    if (!literal.empty()) {
      faults.push_back({Fault::Kind::unclear_layout, yaml_, entry.line,
                        fmt::format("{}: '{}' is taken as '{}' beside this file, as Roboflow means it; {} is there too "
                                    "and is not read",
                                    entry.split, entry.text, entry.text.substr(3), literal.string()),
                        false});
    }
    return beside;
  }

  // Roboflow's download writes Chess-1/train/images, relative to or with the folder it was started in, into
  // Chess-1/data.yaml.
  fs::path after_own_name(const std::string& text) const {
    const fs::path path = fs::path(text).lexically_normal();
    const auto own = std::find(path.begin(), path.end(), folder_.filename());
    if (own == path.end()) return {};
    fs::path rest;
    for (auto part = std::next(own); part != path.end(); ++part) rest /= *part;
    return resolve(rest.string(), std::vector<fs::path>{folder_});
  }

  const fs::path& yaml_;
  fs::path folder_;
  std::vector<fs::path> bases_;
  bool roboflow_ = false;
};

// A split of which nothing is there is worth a warning, as exports name splits that they do not have; without part of a
// split, photos are missing.
std::vector<YoloSource> find_sources(const fs::path& yaml, const DataYaml& data, std::vector<Fault>& faults) {
  const YamlPaths paths(yaml, data);
  std::vector<YoloSource> sources;
  std::vector<const DataYaml::Entry*> missing;
  for (const DataYaml::Entry& entry : data.entries) {
    const fs::path where = paths.find(entry, faults);
    if (where.empty()) {
      missing.push_back(&entry);
      continue;
    }
    YoloSource& source = sources.emplace_back(YoloSource{entry.split, where, {where.parent_path()}});
    source.bases.insert(source.bases.end(), paths.bases().begin(), paths.bases().end());
  }
  for (const DataYaml::Entry* entry : missing) {
    const bool part = std::any_of(sources.begin(), sources.end(),
                                  [&](const YoloSource& source) { return source.split == entry->split; });
    faults.push_back({Fault::Kind::missing_image, yaml, entry->line,
                      fmt::format("{}: no folder or list of photos '{}'{}", entry->split, entry->text,
                                  part ? "" : ": no such split"),
                      part});
  }
  return sources;
}

}  // namespace

RawDataset read_yolo_yaml(const fs::path& yaml, const DatasetOptions& options) {
  const DataYaml data = parse_yaml(yaml);
  RawDataset raw;
  raw.root = fs::absolute(yaml).parent_path();
  raw.format = "yolo";
  raw.keypoints = data.keypoints;
  raw.faults = data.faults;
  read_yolo_sources(raw, find_sources(yaml, data, raw.faults), options);
  raw.classes = data.names;
  if (raw.classes.empty()) name_classes(raw, data.classes);
  return raw;
}

}  // namespace rook::io::detail
