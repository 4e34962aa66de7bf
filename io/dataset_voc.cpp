// Pascal VOC XML: one <annotation> per photo. Corners are whole pixels counted from 1, both inside the box, so xmin 1
// and xmax W span the photo (VOC development kit, "Bounding box").
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

struct VocImage {
  RawImage image;
  std::vector<std::string> names;  // class of each box of `image`
  int difficult = 0;
  int first_difficult = 0;  // line
};

class Annotation {
 public:
  Annotation(const std::string& text, VocImage& out) : text_(text), out_(out) {}

  void read(bool keep_difficult);

 private:
  int line_of(const pugi::xml_node& node) const {
    return line_at(text_, static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, node.offset_debug())));
  }
  void fault(int line, const std::string& message) {
    out_.image.faults.push_back({Fault::Kind::bad_line, out_.image.labels, line, message, true});
  }
  void read_object(const pugi::xml_node& object, bool keep_difficult);

  const std::string& text_;
  VocImage& out_;
};

void Annotation::read_object(const pugi::xml_node& object, bool keep_difficult) {
  const int line = line_of(object);
  const std::string name(trimmed(object.child("name").text().get()));
  if (name.empty()) return fault(line, "an object without <name>");
  const pugi::xml_node bndbox = object.child("bndbox");
  double corners[4];
  int i = 0;
  for (const char* key : {"xmin", "ymin", "xmax", "ymax"}) {
    const pugi::xml_node node = bndbox.child(key);
    const std::string_view value = trimmed(node.text().get());
    const std::optional<double> number = parse_number(value);
    if (!number) {
      return fault(node ? line_of(node) : line, fmt::format("'{}': <{}> is '{}', not a number", name, key, value));
    }
    if (node.next_sibling(key)) return fault(line_of(node), fmt::format("'{}': <{}> stands twice", name, key));
    corners[i++] = *number;
  }
  if (trimmed(object.child("difficult").text().get()) == "1" && !keep_difficult) {
    if (out_.difficult++ == 0) out_.first_difficult = line;
    return;
  }
  RawBox box{.line = line};
  box.w = corners[2] - corners[0] + 1;
  box.h = corners[3] - corners[1] + 1;
  box.x = corners[0] - 1 + box.w / 2;
  box.y = corners[1] - 1 + box.h / 2;
  out_.image.boxes.push_back(box);
  out_.names.push_back(name);
}

void Annotation::read(bool keep_difficult) {
  pugi::xml_document document;
  // UTF-8 is said and not guessed: offsets are into our text then.
  const pugi::xml_parse_result result =
      document.load_buffer(text_.data(), text_.size(), pugi::parse_default, pugi::encoding_utf8);
  const pugi::xml_node root = document.child("annotation");
  if (!result) {
    fault(line_at(text_, static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, result.offset))),
          fmt::format("not valid XML: {}", result.description()));
  } else if (!root || root.next_sibling() || root.previous_sibling()) {
    fault(1, "not a VOC file: it must hold one <annotation>");
  }
  if (!out_.image.faults.empty()) {
    out_.image.dropped = true;
    return;
  }
  const pugi::xml_node size = root.child("size");
  const auto side = [&](const char* key) { return parse_integer(trimmed(size.child(key).text().get())).value_or(0); };
  out_.image.width = std::max(0, side("width"));  // some tools write 0: then the photo tells
  out_.image.height = std::max(0, side("height"));
  out_.image.line = size ? line_of(size) : 0;
  for (const pugi::xml_node& object : root.children("object")) read_object(object, keep_difficult);
}

// Photos of a folder by name without ending.
using PhotoIndex = std::map<std::string, fs::path>;

PhotoIndex index_photos(const fs::path& folder) {
  PhotoIndex index;
  for (const fs::path& photo : photos_in(folder, false)) index.emplace(photo.stem().string(), photo);
  return index;
}

struct VocSplit {
  std::string name;
  std::vector<VocImage> images;
};

// Only the paths; read_annotations does the rest on all threads.
VocImage make_image(const fs::path& xml, const PhotoIndex& photos) {
  VocImage result;
  result.image.labels = xml;
  result.image.pixels = true;
  if (const auto photo = photos.find(xml.stem().string()); photo != photos.end()) result.image.file = photo->second;
  return result;
}

void add_photo_without_xml(const fs::path& photo, const DatasetOptions& options, VocSplit& split,
                           std::vector<Fault>& faults) {
  if (options.missing_label_is_negative) {
    VocImage result;
    result.image.file = result.image.labels = photo;
    split.images.push_back(std::move(result));
    return;
  }
  faults.push_back({Fault::Kind::missing_label, photo, 0, fmt::format("no {}.xml", photo.stem().string()), true});
}

void add_folder(const fs::path& annotations, const fs::path& photo_folder, const DatasetOptions& options,
                VocSplit& split, std::vector<Fault>& faults) {
  const PhotoIndex photos = index_photos(photo_folder);
  std::set<std::string> labelled;
  for (const fs::path& xml : files_in(annotations, ".xml")) {
    split.images.push_back(make_image(xml, photos));
    labelled.insert(xml.stem().string());
  }
  for (const auto& [stem, photo] : photos) {
    if (!labelled.contains(stem)) add_photo_without_xml(photo, options, split, faults);
  }
}

// The kit's layout: Annotations, JPEGImages, and lists of names in ImageSets/Main.
void add_kit(const fs::path& root, const DatasetOptions& options, std::vector<VocSplit>& splits,
             std::vector<Fault>& faults) {
  const fs::path photo_folder = is_folder(root / "JPEGImages") ? root / "JPEGImages"
                                : is_folder(root / "images")   ? root / "images"
                                                               : root;
  const fs::path sets = root / "ImageSets" / "Main";
  std::vector<std::pair<std::string, fs::path>> lists;
  for (const char* name : {"train", "val", "valid", "test"}) {
    const fs::path list = sets / fmt::format("{}.txt", name);
    if (is_file(list)) lists.emplace_back(*split_name(name), list);
  }
  if (lists.empty() && is_file(sets / "trainval.txt")) lists.emplace_back("train", sets / "trainval.txt");
  if (lists.empty()) {
    splits.push_back({"train", {}});
    return add_folder(root / "Annotations", photo_folder, options, splits.back(), faults);
  }
  const PhotoIndex photos = index_photos(photo_folder);
  for (const auto& [name, list] : lists) {
    splits.push_back({name, {}});
    for (const TextLine& line : read_lines(list)) {
      const fs::path xml = root / "Annotations" / (line.text + ".xml");
      if (is_file(xml)) {
        splits.back().images.push_back(make_image(xml, photos));
      } else if (const auto photo = photos.find(line.text); photo != photos.end()) {
        add_photo_without_xml(photo->second, options, splits.back(), faults);
      } else {
        faults.push_back({Fault::Kind::missing_image, list, line.line,
                          fmt::format("neither a photo nor an annotation '{}'", line.text), true});
      }
    }
  }
}

void read_annotations(std::vector<VocImage>& images, const DatasetOptions& options) {
  parallel_for(images.size(), [&](std::size_t i) {
    VocImage& entry = images[i];
    RawImage& image = entry.image;
    if (image.file == image.labels) return;  // a photo that has no XML and is a negative
    try {
      const std::string text = read_text(image.labels);
      Annotation(text, entry).read(options.keep_difficult);
    } catch (const Error&) {
      image.dropped = true;
      image.faults.push_back({Fault::Kind::missing_label, image.labels, 0, "cannot be read", true});
    }
    if (!image.dropped && image.file.empty()) {
      image.dropped = true;
      image.faults.push_back({Fault::Kind::missing_image, image.labels, 0,
                              fmt::format("no photo '{}' with any ending", image.labels.stem().string()), true});
    }
  });
}

// Classes in alphabetical order, as in the list of the VOC challenge, unless a names file gives another.
void number_classes(std::vector<VocSplit>& splits, bool known, std::vector<std::string>& classes) {
  if (!known) {
    std::set<std::string> names;
    for (const VocSplit& split : splits) {
      for (const VocImage& image : split.images) names.insert(image.names.begin(), image.names.end());
    }
    classes.assign(names.begin(), names.end());
  }
  for (VocSplit& split : splits) {
    for (VocImage& entry : split.images) {
      std::vector<RawBox> kept;
      for (std::size_t i = 0; i < entry.names.size(); ++i) {
        const auto it = std::find(classes.begin(), classes.end(), entry.names[i]);
        RawBox& box = entry.image.boxes[i];
        box.cls = static_cast<int>(it - classes.begin());
        if (it != classes.end()) {
          kept.push_back(box);
        } else {
          entry.image.faults.push_back({Fault::Kind::unknown_class, entry.image.labels, box.line,
                                        fmt::format("class '{}' is not in the names file", entry.names[i]), true});
        }
      }
      entry.image.boxes = std::move(kept);
    }
  }
}

void count_difficult(const std::vector<VocSplit>& splits, std::vector<Fault>& faults) {
  const VocImage* first = nullptr;
  int count = 0;
  for (const VocSplit& split : splits) {
    for (const VocImage& image : split.images) {
      if (image.difficult > 0 && first == nullptr) first = &image;
      count += image.difficult;
    }
  }
  if (first == nullptr) return;
  faults.push_back({Fault::Kind::bad_line, first->image.labels, first->first_difficult,
                    fmt::format("{} objects marked difficult are left out, the first here", count), true});
}

bool has_xml(const fs::path& folder) {
  return !files_in(folder, ".xml").empty();
}

std::vector<fs::path> kits_in(const fs::path& folder) {
  if (has_xml(folder / "Annotations")) return {folder};
  std::vector<fs::path> kits;
  for (const fs::path& year : folders_in(folder)) {
    if (has_xml(year / "Annotations")) kits.push_back(year);
  }
  return kits;
}

}  // namespace

bool has_voc(const fs::path& folder) {
  if (has_xml(folder) || !kits_in(folder).empty()) return true;
  for (const fs::path& part : folders_in(folder)) {
    if (split_name(part.filename().string()) && has_xml(part)) return true;
  }
  return false;
}

RawDataset read_voc(const fs::path& folder, const DatasetOptions& options) {
  RawDataset raw;
  raw.root = folder;
  raw.format = "voc";
  std::vector<VocSplit> splits;
  for (const fs::path& kit : kits_in(folder)) add_kit(kit, options, splits, raw.faults);
  if (splits.empty()) {
    for (const fs::path& part : folders_in(folder)) {
      const std::optional<std::string> name = split_name(part.filename().string());
      if (!name || !has_xml(part)) continue;
      splits.push_back({*name, {}});
      add_folder(part, part, options, splits.back(), raw.faults);
    }
  }
  if (splits.empty()) {
    splits.push_back({split_name(fs::absolute(folder).filename().string()).value_or("train"), {}});
    add_folder(folder, folder, options, splits.back(), raw.faults);
  }
  for (VocSplit& split : splits) read_annotations(split.images, options);
  const fs::path names = find_names(folder);
  if (!names.empty()) raw.classes = read_names(names);
  number_classes(splits, !names.empty(), raw.classes);
  count_difficult(splits, raw.faults);
  for (VocSplit& split : splits) {
    RawSplit& target = raw.split(split.name);
    for (VocImage& entry : split.images) target.images.push_back(std::move(entry.image));
  }
  return raw;
}

}  // namespace rook::io::detail
