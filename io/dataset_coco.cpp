// COCO JSON: {"images": [...], "annotations": [...], "categories": [...]}, one file per split.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// Reads the text and counts its lines on the way. The parser takes one character at a time and reports the start of an
// object as soon as it has taken the brace, so the count is then the object's line.
struct LineCounter {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  int* line;

  reference operator*() const { return *at; }
  LineCounter& operator++() {
    if (*at == '\n') ++*line;
    ++at;
    return *this;
  }
  LineCounter operator++(int) {
    LineCounter before = *this;
    ++*this;
    return before;
  }
  bool operator==(const LineCounter& other) const { return at == other.at; }
  bool operator!=(const LineCounter& other) const { return at != other.at; }
};

struct CocoFile {
  fs::path file;
  json root;
  std::map<std::string, std::vector<int>> lines;  // per array of the top level: the line each element starts on

  int line_of(const std::string& array, std::size_t index) const { return lines.at(array)[index]; }
};

CocoFile parse_coco(const fs::path& file) {
  CocoFile result{.file = file, .root = {}, .lines = {}};
  const std::string text = read_text(file);
  int line = 1;
  std::vector<int>* elements = nullptr;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key) {
      if (depth == 1) {
        const auto [it, added] = result.lines.try_emplace(parsed.get<std::string>());
        if (!added) throw error_at(file, line, fmt::format("\"{}\" stands here a second time", it->first));
        elements = &it->second;
      }
      return parsed != "segmentation";  // most of a COCO file, and of no use for boxes
    }
    const bool starts = event == json::parse_event_t::object_start || event == json::parse_event_t::array_start ||
                        event == json::parse_event_t::value;
    if (starts && depth == 2 && elements != nullptr) elements->push_back(line);
    return true;
  };
  try {
    const char* begin = text.data();
    result.root = json::parse(LineCounter{begin, &line}, LineCounter{begin + text.size(), &line}, watch);
  } catch (const json::exception& error) {
    const std::string what = error.what();
    const std::size_t tail = what.find(": ");
    throw error_at(file, line, "not valid JSON: " + (tail == std::string::npos ? what : what.substr(tail + 2)));
  }
  for (const char* key : {"images", "annotations", "categories"}) {
    if (!result.root.is_object() || !result.root.contains(key) || !result.root.at(key).is_array()) {
      throw error_at(file, 1, fmt::format("not COCO JSON: it has no array \"{}\"", key));
    }
  }
  return result;
}

// Ids are whole numbers; some tools write them as text. Empty: neither.
std::string id_text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !(it->is_number_integer() || it->is_string())) return {};
  return it->is_string() ? it->get<std::string>() : it->dump();
}

int positive(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return 0;
  const double value = it->get<double>();
  return value >= 1 && value < 1e9 ? static_cast<int>(value) : 0;
}

// Class numbers by category id. Classes are joined by name: over the files of a dataset, whose ids may differ, and
// within a file, as Roboflow repeats a class as its own supercategory.
std::unordered_map<std::string, int> read_categories(const CocoFile& coco, std::vector<std::string>& classes) {
  struct Category {
    long long order;
    std::string id, name;
  };
  std::vector<Category> categories;
  std::set<std::string> ids;
  const json& array = coco.root["categories"];
  for (std::size_t i = 0; i < array.size(); ++i) {
    const int line = coco.line_of("categories", i);
    const json& entry = array[i];
    const std::string id = entry.is_object() ? id_text(entry, "id") : "";
    if (id.empty() || !entry.contains("name") || !entry["name"].is_string() || entry["name"] == "") {
      throw error_at(coco.file, line, "a category needs \"id\" (a whole number) and \"name\" (a text)");
    }
    if (!ids.insert(id).second) throw error_at(coco.file, line, fmt::format("category id {} is used twice", id));
    const long long order = entry["id"].is_number_integer() ? entry["id"].get<long long>() : static_cast<long long>(i);
    categories.push_back({order, id, entry["name"].get<std::string>()});
  }
  std::stable_sort(categories.begin(), categories.end(),
                   [](const Category& a, const Category& b) { return a.order < b.order; });
  std::unordered_map<std::string, int> numbers;
  for (const Category& category : categories) {
    auto it = std::find(classes.begin(), classes.end(), category.name);
    if (it == classes.end()) it = classes.insert(it, category.name);
    numbers[category.id] = static_cast<int>(it - classes.begin());
  }
  return numbers;
}

// Where photos of a JSON file may lie: beside it, in a folder of its split, in images/ or data/ (FiftyOne); for
// annotations/*.json also beside that folder. First, though, where CVAT puts those of instances_NAME.json: images/NAME.
std::vector<fs::path> photo_folders(const CocoSource& source) {
  const fs::path beside = fs::absolute(source.json).parent_path();
  std::vector<fs::path> roots = {beside};
  if (beside.filename().string().starts_with("annotations")) roots.push_back(beside.parent_path());
  std::vector<fs::path> folders;
  constexpr std::string_view kBoxes = "instances_";
  if (const std::string stem = source.json.stem().string(); stem.starts_with(kBoxes)) {
    for (const fs::path& root : roots) {
      const fs::path own = root / "images" / stem.substr(kBoxes.size());
      if (is_folder(own)) folders.push_back(own);
    }
  }
  for (const fs::path& root : roots) {
    folders.push_back(root);
    for (const fs::path& parent : {root, root / "images"}) {
      for (const fs::path& folder : folders_in(parent)) {
        if (split_name(folder.filename().string()) == source.split) folders.push_back(folder);
      }
    }
    for (const char* usual : {"images", "data"}) {
      if (is_folder(root / usual)) folders.push_back(root / usual);
    }
  }
  return folders;
}

// The last part of a path of either system.
std::string base_name(const std::string& path) {
  return path.substr(path.find_last_of("/\\") + 1);
}

// The photo of that base name in `folders`, if there is one only.
fs::path find_by_base_name(const std::string& name, const std::vector<fs::path>& folders) {
  std::set<fs::path> found;
  for (const fs::path& folder : folders) {
    if (const fs::path photo = resolve(name, std::span(&folder, 1)); is_file(photo)) found.insert(photo);
  }
  return found.size() == 1 ? *found.begin() : fs::path();
}

// Photos that are not where their file_name says, as Label Studio names them by their place on its server: found by
// their base name, where that is clear.
void find_moved(const CocoFile& coco, const std::vector<fs::path>& folders, RawSplit& split,
                const std::vector<std::string>& names, std::vector<Fault>& faults) {
  std::map<std::string, int> uses;
  for (const std::string& name : names) ++uses[base_name(name)];
  int moved = 0, first = 0;
  for (std::size_t i = 0; i < split.images.size(); ++i) {
    RawImage& image = split.images[i];
    const std::string base = base_name(names[i]);
    if (is_file(image.file)) continue;
    if (base != names[i] && uses[base] == 1) image.file = find_by_base_name(base, folders);
    if (is_file(image.file)) {
      if (moved++ == 0) first = image.line;
    } else {
      image.dropped = true;
      image.faults.push_back({Fault::Kind::missing_image, coco.file, image.line,
                              fmt::format("no photo '{}' in {}", names[i], folders.front().string()), true});
    }
  }
  if (moved == 0) return;
  faults.push_back(
      {Fault::Kind::missing_image, coco.file, first,
       fmt::format("{} photos are not where file_name says, the first here: found by the name alone", moved), false});
}

using ImageIndex = std::unordered_map<std::string, std::size_t>;

ImageIndex read_images(const CocoFile& coco, const std::vector<fs::path>& folders, RawSplit& split,
                       std::vector<Fault>& faults) {
  ImageIndex index;
  std::vector<std::string> names;
  const json& array = coco.root["images"];
  for (std::size_t i = 0; i < array.size(); ++i) {
    const int line = coco.line_of("images", i);
    const json& entry = array[i];
    const std::string id = entry.is_object() ? id_text(entry, "id") : "";
    if (id.empty() || !entry.contains("file_name") || !entry["file_name"].is_string()) {
      faults.push_back({Fault::Kind::bad_line, coco.file, line, "an image needs \"id\" and \"file_name\"", true});
      continue;
    }
    const std::string name = entry["file_name"].get<std::string>();
    if (!index.emplace(id, split.images.size()).second) {
      faults.push_back({Fault::Kind::bad_line, coco.file, line,
                        fmt::format("image id {} is used twice: '{}' is left out", id, name), true});
      continue;
    }
    RawImage image;
    image.file = resolve(name, folders);
    image.labels = coco.file;
    image.about = base_name(name) + ": ";
    image.width = positive(entry, "width");
    image.height = positive(entry, "height");
    image.line = line;
    image.pixels = true;
    split.images.push_back(std::move(image));
    names.push_back(name);
  }
  find_moved(coco, folders, split, names, faults);
  return index;
}

// The four numbers of a bbox, if it is that.
bool read_bbox(const json& entry, RawBox& box) {
  const auto it = entry.find("bbox");
  if (it == entry.end() || !it->is_array() || it->size() != 4) return false;
  for (const json& number : *it) {
    if (!number.is_number()) return false;
  }
  box.w = (*it)[2].get<double>();
  box.h = (*it)[3].get<double>();
  box.x = (*it)[0].get<double>() + box.w / 2;
  box.y = (*it)[1].get<double>() + box.h / 2;
  return true;
}

void read_annotations(const CocoFile& coco, const ImageIndex& index,
                      const std::unordered_map<std::string, int>& classes, RawSplit& split,
                      std::vector<Fault>& faults) {
  const json& array = coco.root["annotations"];
  int crowds = 0, first_crowd = 0;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const int line = coco.line_of("annotations", i);
    const json& entry = array[i];
    const auto fault = [&](Fault::Kind kind, const std::string& message) {
      faults.push_back({kind, coco.file, line, message, true});
    };
    const std::string image_id = entry.is_object() ? id_text(entry, "image_id") : "";
    const std::string category = entry.is_object() ? id_text(entry, "category_id") : "";
    RawBox box{.line = line};
    if (image_id.empty() || category.empty() || !read_bbox(entry, box)) {
      fault(Fault::Kind::bad_line, "an annotation needs \"image_id\", \"category_id\" and \"bbox\" of 4 numbers");
      continue;
    }
    const auto crowd = entry.find("iscrowd");
    box.crowd = crowd != entry.end() && (*crowd == 1 || *crowd == true);
    const auto image = index.find(image_id);
    const auto cls = classes.find(category);
    if (box.crowd) {
      if (crowds++ == 0) first_crowd = line;
      if (image == index.end() || cls == classes.end()) continue;
      box.cls = cls->second;
      split.images[image->second].ignored.push_back(box);
      continue;
    }
    if (image == index.end()) {
      fault(Fault::Kind::missing_image, fmt::format("image_id {} is no image of this file", image_id));
    } else if (cls == classes.end()) {
      fault(Fault::Kind::unknown_class,
            fmt::format("{}category_id {} is no category of this file", split.images[image->second].about, category));
    } else {
      box.cls = cls->second;
      split.images[image->second].boxes.push_back(box);
    }
  }
  if (crowds > 0) {
    faults.push_back(
        {Fault::Kind::ignored_region, coco.file, first_crowd,
         fmt::format("{} crowds (iscrowd 1) are left out of training, and detections there out of evaluation; "
                     "the first here",
                     crowds),
         false});
  }
}

// Photos beside a Roboflow file that it does not list: nobody knows whether they are negatives.
void find_unlisted(const fs::path& json_file, bool negative, RawSplit& split, std::vector<Fault>& faults) {
  std::set<std::string> listed;
  for (const RawImage& image : split.images) listed.insert(image.file.filename().string());
  for (const fs::path& photo : photos_in(json_file.parent_path(), false)) {
    if (listed.contains(photo.filename().string())) continue;
    if (negative) {
      RawImage image;
      image.file = photo;
      image.labels = json_file;
      split.images.push_back(std::move(image));
    } else {
      faults.push_back({Fault::Kind::missing_label, photo, 0,
                        fmt::format("{} does not list this photo", json_file.filename().string()), true});
    }
  }
}

}  // namespace

RawDataset read_coco(const fs::path& root, const std::vector<CocoSource>& sources, const DatasetOptions& options) {
  RawDataset raw;
  raw.root = root;
  raw.format = "coco";
  for (const CocoSource& source : sources) {
    const CocoFile coco = parse_coco(source.json);
    const auto classes = read_categories(coco, raw.classes);
    RawSplit part{.name = source.split, .images = {}};
    const ImageIndex index = read_images(coco, photo_folders(source), part, raw.faults);
    read_annotations(coco, index, classes, part, raw.faults);
    if (source.json.filename() == "_annotations.coco.json") {
      find_unlisted(source.json, options.missing_label_is_negative, part, raw.faults);
    }
    RawSplit& split = raw.split(source.split);
    std::move(part.images.begin(), part.images.end(), std::back_inserter(split.images));
  }
  return raw;
}

}  // namespace rook::io::detail
