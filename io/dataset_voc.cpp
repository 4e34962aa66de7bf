// Pascal VOC XML: one <annotation> per photo. Corners are whole pixels counted from 1, both inside the box, so xmin 1
// and xmax W span the photo (VOC development kit, "Bounding box"). CVAT and Label Studio write edges instead, counted
// from 0: there xmin 0 and xmax W do.
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "io/dataset_internal.h"
#include "io/dataset_voc_layout.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

struct VocImage {
  RawImage image;
  std::vector<std::string> names;    // class of each box of `image`
  std::vector<std::string> ignored;  // class of each ignored region
  int first_difficult = 0;           // line
  int first_edge = 0;                // line of a box that only edges counted from 0 can give; 0: none
};

// Whether a box begins half a pixel or more left of or above pixel 1, where nothing is when pixels count from 1. (A
// fraction elsewhere proves nothing: VOC 2012 has some.)
bool starts_at_edge(const double (&corners)[4]) {
  const auto at_edge = [](double value) { return value >= 0 && value <= .5; };
  return corners[2] > corners[0] && corners[3] > corners[1] && (at_edge(corners[0]) || at_edge(corners[1]));
}

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
  if (out_.first_edge == 0 && starts_at_edge(corners)) out_.first_edge = line;
  RawBox box{.line = line};
  box.w = corners[2] - corners[0] + 1;
  box.h = corners[3] - corners[1] + 1;
  box.x = corners[0] - 1 + box.w / 2;
  box.y = corners[1] - 1 + box.h / 2;
  if (trimmed(object.child("difficult").text().get()) == "1" && !keep_difficult) {
    if (out_.ignored.empty()) out_.first_difficult = line;
    out_.image.ignored.push_back(box);
    out_.ignored.push_back(name);
    return;
  }
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

struct VocSplit {
  std::string name;
  std::vector<VocImage> images;
};

// Only the paths; read_annotations does the rest on all threads.
VocImage make_image(const VocEntry& entry) {
  VocImage result;
  result.image.file = entry.photo;
  result.image.labels = entry.xml.empty() ? entry.photo : entry.xml;
  result.image.pixels = !entry.xml.empty();
  return result;
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
      for (std::size_t i = 0; i < entry.ignored.size(); ++i) {  // of no known class: finish_dataset leaves it out
        const auto it = std::find(classes.begin(), classes.end(), entry.ignored[i]);
        entry.image.ignored[i].cls = static_cast<int>(it - classes.begin());
      }
    }
  }
}

void count_difficult(const std::vector<VocSplit>& splits, std::vector<Fault>& faults) {
  const VocImage* first = nullptr;
  int count = 0;
  for (const VocSplit& split : splits) {
    for (const VocImage& image : split.images) {
      if (!image.ignored.empty() && first == nullptr) first = &image;
      count += static_cast<int>(image.ignored.size());
    }
  }
  if (first == nullptr) return;
  faults.push_back({Fault::Kind::ignored_region, first->image.labels, first->first_difficult,
                    fmt::format("{} objects marked difficult are left out of training, and detections there out of "
                                "evaluation; the first here",
                                count),
                    false});
}

// Programs write all boxes in one way: where one box shows edges counted from 0, all are that.
void take_edges(std::vector<VocSplit>& splits, std::vector<Fault>& faults) {
  const VocImage* proof = nullptr;
  for (const VocSplit& split : splits) {
    const auto found = std::find_if(split.images.begin(), split.images.end(),
                                    [](const VocImage& image) { return image.first_edge > 0; });
    if (proof == nullptr && found != split.images.end()) proof = &*found;
  }
  if (proof == nullptr) return;
  for (VocSplit& split : splits) {
    for (VocImage& entry : split.images) {
      for (std::vector<RawBox>* boxes : {&entry.image.boxes, &entry.image.ignored}) {
        for (RawBox& box : *boxes) {
          box.x += .5;
          box.y += .5;
          box.w -= 1;
          box.h -= 1;
        }
      }
    }
  }
  faults.push_back({Fault::Kind::out_of_range, proof->image.labels, proof->first_edge,
                    "xmin or ymin is 0 here, so all boxes of this data set are taken as edges counted from 0 (as CVAT "
                    "and Label Studio write them), not as pixels counted from 1",
                    false});
}

}  // namespace

RawDataset read_voc(const fs::path& folder, const DatasetOptions& options) {
  RawDataset raw;
  raw.root = folder;
  raw.format = "voc";
  std::vector<VocSplit> splits;
  for (const VocPart& part : find_voc(folder, options, raw.faults)) {
    VocSplit& split = splits.emplace_back(VocSplit{part.split});
    for (const VocEntry& entry : part.entries) split.images.push_back(make_image(entry));
  }
  for (VocSplit& split : splits) read_annotations(split.images, options);
  const fs::path names = find_names(folder);
  if (!names.empty()) raw.classes = read_names(names);
  take_edges(splits, raw.faults);
  number_classes(splits, !names.empty(), raw.classes);
  count_difficult(splits, raw.faults);
  for (VocSplit& split : splits) {
    RawSplit& target = raw.split(split.name);
    for (VocImage& entry : split.images) target.images.push_back(std::move(entry.image));
  }
  return raw;
}

}  // namespace rook::io::detail
