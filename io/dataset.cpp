// Which format lies in a folder; lists of photos to keep.
#include "io/dataset.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "io/dataset_internal.h"
#include "io/store_manifest.h"

namespace rook::io {

namespace fs = std::filesystem;

const Split* Dataset::find(const std::string& split) const {
  for (const Split& found : splits) {
    if (found.name == split) return &found;
  }
  return nullptr;
}

namespace detail {
namespace {

constexpr const char* kRoboflow = "_annotations.coco.json";

std::string split_of_folder(const fs::path& folder) {
  return split_name(fs::absolute(folder).lexically_normal().filename().string()).value_or("train");
}

std::vector<CocoSource> find_coco(const fs::path& folder) {
  std::vector<CocoSource> sources;
  for (const fs::path& part : folders_in(folder)) {
    const std::optional<std::string> split = split_name(part.filename().string());
    if (split && is_file(part / kRoboflow)) sources.push_back({*split, part / kRoboflow});
  }
  if (sources.empty() && is_file(folder / kRoboflow)) sources.push_back({split_of_folder(folder), folder / kRoboflow});
  if (!sources.empty()) return sources;
  std::vector<fs::path> files = files_in(folder / "annotations", ".json");
  // COCO itself puts captions_ and person_keypoints_ files beside the boxes.
  const auto boxes = [](const fs::path& file) { return file.filename().string().starts_with("instances"); };
  if (std::any_of(files.begin(), files.end(), boxes)) {
    std::erase_if(files, [&](const fs::path& file) { return !boxes(file); });
  }
  for (const fs::path& file : files) {
    const std::string stem = file.stem().string();
    const bool only = files.size() == 1 || stem == "instances_default";  // of CVAT: told no subset
    sources.push_back({split_name(stem).value_or(only ? "train" : stem), file});
  }
  return sources;
}

std::vector<CocoSource> find_single_json(const fs::path& folder) {
  const std::vector<fs::path> files = files_in(folder, ".json");
  if (files.size() != 1) return {};
  return {{split_name(files[0].stem().string()).value_or(split_of_folder(folder)), files[0]}};
}

bool has_flat_yolo(const fs::path& folder, bool recursive) {
  const std::vector<fs::path> photos = photos_in(folder, recursive);
  return std::any_of(photos.begin(), photos.end(),
                     [](fs::path photo) { return is_file(photo.replace_extension(".txt")); });
}

bool is_labelled(const fs::path& photo) {
  const std::vector<fs::path> candidates = label_candidates(photo);
  return std::any_of(candidates.begin(), candidates.end(), is_file);
}

// Photos beside the folders of splits, `parts`: train if none of these is that; otherwise nobody knows.
void add_rest(const fs::path& folder, const std::vector<fs::path>& parts, YoloLayout& layout) {
  const std::vector<fs::path> rest = photos_in(folder, true, parts);
  if (rest.empty()) return;
  const bool known = std::any_of(layout.sources.begin(), layout.sources.end(),
                                 [](const YoloSource& source) { return source.split == "train"; });
  const bool labelled = std::any_of(rest.begin(), rest.end(), is_labelled);
  layout.faults.push_back(
      {Fault::Kind::unclear_layout, rest.front(), 0,
       fmt::format("{} photos are in no folder of a split, this is the first: {}", rest.size(),
                   known ? "left out, as there is a folder of train too; move them into a folder" : "taken as train"),
       known && labelled});
  if (!known) layout.sources.push_back({.split = "train", .where = folder, .skip = parts});
}

// Photos and labels without a data.yaml: images/ and labels/ (with or without splits in them, or below splits), or
// photos with their .txt beside them.
YoloLayout find_yolo_folders(const fs::path& folder) {
  YoloLayout layout;
  std::vector<fs::path> parts;
  if (is_folder(folder / "images") && is_folder(folder / "labels")) {
    for (const fs::path& part : folders_in(folder / "images")) {
      const auto split = split_name(part.filename().string());
      if (!split) continue;
      layout.sources.push_back({*split, part});
      parts.push_back(part);
    }
    if (parts.empty()) {
      layout.sources.push_back({split_of_folder(folder), folder / "images"});
    } else {
      add_rest(folder / "images", parts, layout);
    }
    return layout;
  }
  for (const fs::path& part : folders_in(folder)) {
    const std::optional<std::string> split = split_name(part.filename().string());
    if (!split) continue;
    const bool apart = is_folder(part / "images") && is_folder(part / "labels");
    if (!apart && !has_flat_yolo(part, true)) continue;
    layout.sources.push_back({*split, apart ? part / "images" : part});
    parts.push_back(part);
  }
  if (!has_flat_yolo(folder, false)) return layout;
  if (parts.empty()) {
    layout.sources.push_back({split_of_folder(folder), folder});
  } else {
    add_rest(folder, parts, layout);
  }
  return layout;
}

// The one file of an ending, the preferred one of several, none, or an error that names the choice.
fs::path only_file(const fs::path& folder, std::vector<fs::path> files, const std::string& preferred) {
  if (files.empty()) return {};
  for (const fs::path& file : files) {
    if (file.stem() == preferred) return file;
  }
  if (files.size() == 1) return files.front();
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.filename().string());
  throw Error(
      fmt::format("{}: which of {}? Name the file instead of the folder", folder.string(), fmt::join(names, ", ")));
}

RawDataset read_folder(const fs::path& folder, const DatasetOptions& options) {
  if (is_file(folder / kManifestFile)) return read_stored(folder);
  if (const auto coco = find_coco(folder); !coco.empty()) return read_coco(folder, coco, options);
  std::vector<fs::path> yamls = files_in(folder, ".yaml");
  const std::vector<fs::path> ymls = files_in(folder, ".yml");
  yamls.insert(yamls.end(), ymls.begin(), ymls.end());
  if (const fs::path yaml = only_file(folder, yamls, "data"); !yaml.empty()) return read_yolo_yaml(yaml, options);
  if (const fs::path data = only_file(folder, files_in(folder, ".data"), "obj"); !data.empty()) {
    return read_darknet(data, options);
  }
  if (has_voc(folder)) return read_voc(folder, options);
  if (const YoloLayout yolo = find_yolo_folders(folder); !yolo.sources.empty())
    return read_yolo_folders(folder, yolo, options);
  if (const auto coco = find_single_json(folder); !coco.empty()) return read_coco(folder, coco, options);
  // Around the data/ that the paths of a CVAT export begin with.
  if (const fs::path data = only_file(folder / "data", files_in(folder / "data", ".data"), "obj"); !data.empty()) {
    return read_darknet(data, options);
  }
  throw Error(
      fmt::format("{}: no dataset found: looked for COCO ({{train,valid,test}}/_annotations.coco.json, "
                  "annotations/*.json, one *.json), YOLO (data.yaml, *.yaml, images/ with labels/, photos with .txt "
                  "beside them), darknet (*.data) and VOC (Annotations/*.xml, *.xml beside photos)",
                  folder.string()));
}

RawDataset read_file(const fs::path& file, const DatasetOptions& options) {
  const fs::path folder = fs::absolute(file).parent_path();
  const std::string ending = file.extension().string();
  if (file.filename() == kManifestFile) return read_stored(folder);
  if (ending == ".json") {
    const std::string stem = file.stem().string();
    return read_coco(folder, {{split_name(stem).value_or(split_of_folder(folder)), file}}, options);
  }
  if (ending == ".yaml" || ending == ".yml") return read_yolo_yaml(file, options);
  if (ending == ".data") return read_darknet(file, options);
  throw Error(fmt::format("{}: not a dataset: give a folder, or a .json (COCO), .yaml (YOLO) or .data (darknet) file",
                          file.string()));
}

}  // namespace
}  // namespace detail

Dataset read_dataset(const fs::path& where, const DatasetOptions& options) {
  std::error_code error;
  if (!fs::exists(where, error)) throw Error(fmt::format("{}: no such folder or file", where.string()));
  const fs::path clean = where.has_filename() ? where : where.parent_path();  // "chess/" is "chess"
  detail::RawDataset raw =
      detail::is_folder(clean) ? detail::read_folder(clean, options) : detail::read_file(clean, options);
  Dataset dataset = detail::finish_dataset(std::move(raw), options);
  dataset.root = clean;
  return dataset;
}

namespace {

// Whether the last parts of `file`, with or without its ending, are all of `line`.
bool ends_with(const fs::path& file, const fs::path& line) {
  fs::path stem = file;
  stem.replace_extension();
  for (const fs::path& candidate : {file, stem}) {
    const std::vector<fs::path> parts(candidate.begin(), candidate.end()), wanted(line.begin(), line.end());
    if (wanted.size() <= parts.size() && std::equal(wanted.rbegin(), wanted.rend(), parts.rbegin())) return true;
  }
  return false;
}

}  // namespace

void keep_only(Split& split, const fs::path& list_file) {
  std::unordered_multimap<std::string, std::size_t> by_name;
  for (std::size_t i = 0; i < split.images.size(); ++i) {
    const fs::path name = split.images[i].name;
    by_name.emplace(name.string(), i);
    if (name.has_extension()) by_name.emplace(name.stem().string(), i);
  }
  std::set<std::size_t> kept;
  std::vector<std::string> unmatched;
  const std::vector<detail::TextLine> lines = detail::read_lines(list_file);
  for (const detail::TextLine& line : lines) {
    const fs::path wanted = fs::path(line.text).lexically_normal();
    std::vector<std::size_t> matches;
    const auto [begin, end] = by_name.equal_range(wanted.filename().string());
    for (auto it = begin; it != end; ++it) matches.push_back(it->second);
    std::sort(matches.begin(), matches.end());
    // Equal names in several folders: the folder of the line decides, if it does.
    if (matches.size() > 1) {
      std::vector<std::size_t> nearer;
      for (const std::size_t i : matches) {
        if (wanted.has_parent_path() && ends_with(split.images[i].file, wanted)) nearer.push_back(i);
      }
      if (!nearer.empty()) matches = nearer;
    }
    if (matches.empty()) {
      unmatched.push_back(fmt::format("line {} '{}'", line.line, line.text));
    } else if (matches.size() > 1) {
      throw detail::error_at(
          list_file, line.line,
          fmt::format("'{}' fits {} photos, {} and {}: name it with its folder and ending", line.text, matches.size(),
                      split.images[matches[0]].file.string(), split.images[matches[1]].file.string()));
    } else {
      kept.insert(matches.front());
    }
  }
  if (!unmatched.empty()) {
    throw Error(fmt::format("{}: {} of {} lines name no photo of {}: {}", list_file.string(), unmatched.size(),
                            lines.size(), split.name, fmt::join(unmatched, ", ")));
  }
  if (kept.empty()) throw Error(fmt::format("{}: names no photo: write one name per line", list_file.string()));
  std::vector<LabelledImage> images;
  for (const std::size_t i : kept) images.push_back(std::move(split.images[i]));
  split.images = std::move(images);
}

}  // namespace rook::io
