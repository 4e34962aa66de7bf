// The layouts that programs give to VOC data sets. A kit is a folder of XML files and one of photos beside it, with or
// without lists of names in ImageSets/Main; else XML files lie beside their photos, themselves or per split.
#include "io/dataset_voc_layout.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

bool is_xml(const fs::path& file) {
  const std::string ending = file.extension().string();
  return ending == ".xml" || ending == ".XML";
}

// XML files of a folder and, as CVAT keeps the folders of photos, of those in it.
std::vector<fs::path> xml_below(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; it != end && !error; it.increment(error)) {
    if (is_xml(it->path()) && is_file(it->path())) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool has_xml(const fs::path& folder) {
  return !files_in(folder, ".xml").empty();
}

struct Kit {
  fs::path root, annotations, photos;
};

// The kit's own names; images/ with annotations/ as many write it by hand; FiftyOne's data/ with labels/.
std::optional<Kit> kit_at(const fs::path& root) {
  for (const char* annotations : {"Annotations", "annotations", "labels"}) {
    // labels/ with .txt is YOLO's, whatever else lies there.
    if (annotations == std::string_view("labels") && !files_in(root / annotations, ".txt").empty()) continue;
    if (xml_below(root / annotations).empty()) continue;
    for (const char* photos : {"JPEGImages", "images", "data"}) {
      if (is_folder(root / photos)) return Kit{root, root / annotations, root / photos};
    }
    return Kit{root, root / annotations, root};
  }
  return std::nullopt;
}

std::vector<Kit> kits_in(const fs::path& folder) {
  if (const auto kit = kit_at(folder)) return {*kit};
  std::vector<Kit> kits;
  for (const fs::path& year : folders_in(folder)) {
    if (const auto kit = kit_at(year)) kits.push_back(*kit);
  }
  return kits;
}

// What a file is called in lists: its path below `folder` without ending.
std::string key_of(const fs::path& file, const fs::path& folder) {
  return file.lexically_relative(folder).replace_extension().generic_string();
}

using PhotoIndex = std::map<std::string, fs::path>;  // by key

PhotoIndex index_photos(const fs::path& folder, bool recursive) {
  PhotoIndex index;
  for (const fs::path& photo : photos_in(folder, recursive)) index.emplace(key_of(photo, folder), photo);
  return index;
}

// Fills one split.
class PartFiller {
 public:
  PartFiller(const PhotoIndex& photos, const DatasetOptions& options, VocPart& part, std::vector<Fault>& faults)
      : photos_(photos), options_(options), part_(part), faults_(faults) {}

  void add_xml(const fs::path& xml, const std::string& key) {
    const auto photo = photos_.find(key);
    part_.entries.push_back({.xml = xml, .photo = photo == photos_.end() ? fs::path() : photo->second});
  }

  void add_photo_without_xml(const fs::path& photo) {
    if (options_.missing_label_is_negative) {
      part_.entries.push_back({.xml = {}, .photo = photo});
    } else {
      faults_.push_back({Fault::Kind::missing_label, photo, 0, fmt::format("no {}.xml", photo.stem().string()), true});
    }
  }

  // All XML files, and photos that have none.
  void add_all(const std::vector<fs::path>& xmls, const fs::path& folder) {
    std::set<std::string> labelled;
    for (const fs::path& xml : xmls) {
      const std::string key = key_of(xml, folder);
      add_xml(xml, key);
      labelled.insert(key);
    }
    for (const auto& [key, photo] : photos_) {
      if (!labelled.contains(key)) add_photo_without_xml(photo);
    }
  }

  void add_listed(const fs::path& list, const fs::path& annotations) {
    for (const TextLine& line : read_lines(list)) {
      const fs::path xml = (annotations / (line.text + ".xml")).lexically_normal();
      const std::string key = fs::path(line.text).lexically_normal().generic_string();
      if (is_file(xml)) {
        add_xml(xml, key);
      } else if (const auto photo = photos_.find(key); photo != photos_.end()) {
        add_photo_without_xml(photo->second);
      } else {
        faults_.push_back({Fault::Kind::missing_image, list, line.line,
                           fmt::format("neither a photo nor an annotation '{}'", line.text), true});
      }
    }
  }

 private:
  const PhotoIndex& photos_;
  const DatasetOptions& options_;
  VocPart& part_;
  std::vector<Fault>& faults_;
};

// --- ImageSets/Main ---

struct VocList {
  std::string split;
  fs::path file;
};

// `default` is what CVAT calls the photos that it was told no subset of.
std::optional<std::string> split_of_list(const std::string& stem) {
  return stem == "default" ? "train" : split_name(stem);
}

// dog_train.txt: "2008_000008 -1", says of each photo whether there is a dog.
bool is_class_list(const fs::path& list, const fs::path& annotations) {
  const std::vector<TextLine> lines = read_lines(list);
  if (lines.empty()) return true;
  const std::string& first = lines.front().text;
  const std::vector<std::string_view> fields = fields_of(first);
  const bool flagged = fields.back() == "1" || fields.back() == "-1" || fields.back() == "0";
  return fields.size() > 1 && flagged && !is_file(annotations / (first + ".xml"));
}

// The lists that say the splits. The kit has train, val, test and trainval, which is train and val together; CVAT and
// Datumaro name a list as the user named the subset (Train, Validation, "my train").
std::vector<VocList> find_lists(const Kit& kit, std::vector<Fault>& faults) {
  std::vector<VocList> lists;
  fs::path trainval;
  std::vector<fs::path> of_several_words, unknown;
  for (const fs::path& file : files_in(kit.root / "ImageSets" / "Main", ".txt")) {
    const std::string stem = file.stem().string();
    const bool word = std::all_of(stem.begin(), stem.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
    if (!word) {
      of_several_words.push_back(file);
    } else if (stem == "trainval") {
      trainval = file;
    } else if (const auto split = split_of_list(stem)) {
      lists.push_back({*split, file});
    } else {
      unknown.push_back(file);
    }
  }
  const auto is_part = [](const VocList& list) { return list.split != "test"; };
  if (!trainval.empty() && std::none_of(lists.begin(), lists.end(), is_part)) lists.push_back({"train", trainval});
  if (lists.empty()) {
    for (const fs::path& file : of_several_words) {
      if (is_class_list(file, kit.annotations)) continue;
      if (const auto split = split_name(file.stem().string())) {
        lists.push_back({*split, file});
      } else {
        unknown.push_back(file);
      }
    }
  }
  for (const fs::path& file : unknown) {
    faults.push_back({Fault::Kind::bad_line, file, 0,
                      "this list is not used: its name says no split; call it train, val or test", false});
  }
  return lists;
}

void add_kit(const Kit& kit, const std::string& split, const DatasetOptions& options, std::vector<VocPart>& parts,
             std::vector<Fault>& faults) {
  const PhotoIndex photos = index_photos(kit.photos, kit.photos != kit.root);
  const std::vector<VocList> lists = find_lists(kit, faults);
  for (const VocList& list : lists) {
    PartFiller(photos, options, parts.emplace_back(VocPart{list.split}), faults).add_listed(list.file, kit.annotations);
  }
  if (!lists.empty()) return;
  PartFiller(photos, options, parts.emplace_back(VocPart{split}), faults)
      .add_all(xml_below(kit.annotations), kit.annotations);
}

void add_flat(const fs::path& folder, const std::string& split, const DatasetOptions& options,
              std::vector<VocPart>& parts, std::vector<Fault>& faults) {
  const PhotoIndex photos = index_photos(folder, false);
  PartFiller(photos, options, parts.emplace_back(VocPart{split}), faults).add_all(files_in(folder, ".xml"), folder);
}

}  // namespace

bool has_voc(const fs::path& folder) {
  if (has_xml(folder) || !kits_in(folder).empty()) return true;
  for (const fs::path& part : folders_in(folder)) {
    if (split_name(part.filename().string()) && has_xml(part)) return true;
  }
  return false;
}

std::vector<VocPart> find_voc(const fs::path& folder, const DatasetOptions& options, std::vector<Fault>& faults) {
  std::vector<VocPart> parts;
  for (const Kit& kit : kits_in(folder)) {
    const std::string split = kit.root == folder ? "train" : split_name(kit.root.filename().string()).value_or("train");
    add_kit(kit, split, options, parts, faults);
  }
  if (!parts.empty()) return parts;
  for (const fs::path& part : folders_in(folder)) {
    const std::optional<std::string> name = split_name(part.filename().string());
    if (name && has_xml(part)) add_flat(part, *name, options, parts, faults);
  }
  if (parts.empty()) {
    add_flat(folder, split_name(fs::absolute(folder).filename().string()).value_or("train"), options, parts, faults);
  }
  return parts;
}

}  // namespace rook::io::detail
