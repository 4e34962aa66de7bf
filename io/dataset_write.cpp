#include "io/dataset_write.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/temporary_folder.h"

namespace rook::io {

namespace fs = std::filesystem;

namespace {

// A photo and the name it gets.
struct Item {
  const LabelledImage* image;
  std::string name;
};
using Items = std::vector<Item>;

void write_text(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw Error(fmt::format("{}: cannot be written: is the disk full?", file.string()));
}

// Names that are unique without their ending, as labels are found by it.
Items name_items(const Split& split) {
  Items items;
  std::set<std::string> stems;
  for (const LabelledImage& image : split.images) {
    // A photo may be kept, or have been prepared, as a file of another name.
    const fs::path name = image.name.empty() ? image.file.filename() : fs::path(image.name);
    std::string stem = name.stem().string();
    for (int n = 2; !stems.insert(stem).second; ++n) stem = fmt::format("{}_{}", name.stem().string(), n);
    items.push_back({&image, stem + image.file.extension().string()});
  }
  return items;
}

// How photos come to their places, and what ends it (may be null).
struct Placing {
  PlacePhotos how;
  const std::atomic<bool>* stop;
};

void place_photos(const Items& items, const fs::path& folder, const Placing& place) {
  make_folder(folder);
  for (const Item& item : items) {
    if (place.stop && *place.stop) throw Error("interrupted: nothing was written");
    std::error_code error;
    // A link to a symbolic link would move what it points to.
    if (place.how == PlacePhotos::link && !fs::is_symlink(item.image->file, error)) {
      fs::create_hard_link(item.image->file, folder / item.name, error);
      if (!error) continue;
    }
    fs::copy_file(item.image->file, folder / item.name, error);
    if (error) {
      throw Error(
          fmt::format("{}: cannot be copied to {}: {}", item.image->file.string(), folder.string(), error.message()));
    }
    // A copy of a file that nobody may write is one that its owner may.
    fs::permissions(folder / item.name, fs::perms::owner_write, fs::perm_options::add, error);
  }
}

fs::path with_ending(const std::string& name, const char* ending) {
  return fs::path(name).replace_extension(ending);
}

// Nine digits are a float to the last bit.
std::string yolo_text(const LabelledImage& image) {
  std::string text;
  for (const LabelBox& box : image.boxes) {
    text += fmt::format("{} {:.9g} {:.9g} {:.9g} {:.9g}\n", box.cls, box.x, box.y, box.w, box.h);
  }
  return text;
}

struct PixelBox {
  double left, top, width, height;
};

// A LabelBox or IgnoredRegion, to a thousandth of a pixel: whole numbers stay whole after their way through floats.
template <class Box>
PixelBox to_pixels(const LabelledImage& image, const Box& box) {
  if (image.width <= 0 || image.height <= 0) {
    throw Error(fmt::format("{}: its size is not known, pixel boxes cannot be written", image.file.string()));
  }
  const auto rounded = [](double value) { return std::round(value * 1000) / 1000; };
  const double w = image.width, h = image.height;
  return {rounded((static_cast<double>(box.x) - box.w / 2.0) * w),
          rounded((static_cast<double>(box.y) - box.h / 2.0) * h), rounded(box.w * w), rounded(box.h * h)};
}

void write_coco_split(const Dataset& dataset, const Items& items, const fs::path& folder) {
  using nlohmann::ordered_json;
  ordered_json root;
  root["images"] = ordered_json::array();
  root["annotations"] = ordered_json::array();
  root["categories"] = ordered_json::array();
  for (std::size_t c = 0; c < dataset.classes.size(); ++c) {
    root["categories"].push_back({{"id", c}, {"name", dataset.classes[c]}, {"supercategory", "none"}});
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const LabelledImage& image = *items[i].image;
    root["images"].push_back(
        {{"id", i}, {"file_name", items[i].name}, {"width", image.width}, {"height", image.height}});
    const auto annotate = [&](const auto& box, int is_crowd) {
      const PixelBox pixels = to_pixels(image, box);
      root["annotations"].push_back({{"id", root["annotations"].size()},
                                     {"image_id", i},
                                     {"category_id", box.cls},
                                     {"bbox", {pixels.left, pixels.top, pixels.width, pixels.height}},
                                     {"area", pixels.width * pixels.height},
                                     {"iscrowd", is_crowd}});
    };
    for (const LabelBox& box : image.boxes) {
      annotate(box, 0);
      if (box.score) root["annotations"].back()["score"] = *box.score;
    }
    for (const IgnoredRegion& region : image.ignored) annotate(region, 1);
  }
  try {
    write_text(folder / "_annotations.coco.json", root.dump(1) + "\n");
  } catch (const nlohmann::json::exception&) {
    throw Error(fmt::format("{}: the name of a photo or class is not UTF-8, which JSON demands", folder.string()));
  }
}

void write_voc_image(const Dataset& dataset, const Item& item, const fs::path& folder) {
  const LabelledImage& image = *item.image;
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("annotation");
  root.append_child("folder").text() = folder.filename().string().c_str();
  root.append_child("filename").text() = item.name.c_str();
  pugi::xml_node size = root.append_child("size");
  size.append_child("width").text() = image.width;
  size.append_child("height").text() = image.height;
  size.append_child("depth").text() = 3;
  const auto add_object = [&](const auto& box, int difficult) {
    const PixelBox pixels = to_pixels(image, box);
    pugi::xml_node object = root.append_child("object");
    object.append_child("name").text() = dataset.classes[static_cast<std::size_t>(box.cls)].c_str();
    object.append_child("difficult").text() = difficult;
    pugi::xml_node bndbox = object.append_child("bndbox");
    const auto corner = [&](const char* key, double value) {
      bndbox.append_child(key).text() = fmt::format("{}", std::round(value * 1000) / 1000).c_str();
    };
    corner("xmin", pixels.left + 1);
    corner("ymin", pixels.top + 1);
    corner("xmax", pixels.left + pixels.width);
    corner("ymax", pixels.top + pixels.height);
  };
  for (const LabelBox& box : image.boxes) add_object(box, 0);
  for (const IgnoredRegion& region : image.ignored) add_object(region, 1);
  const fs::path file = folder / with_ending(item.name, ".xml");
  if (!document.save_file(file.c_str())) throw Error(fmt::format("{}: cannot be written", file.string()));
}

std::string names_text(const Dataset& dataset) {
  std::string text;
  for (const std::string& name : dataset.classes) text += name + "\n";
  return text;
}

void write_coco(const Dataset& dataset, const fs::path& folder, const Placing& place) {
  for (const Split& split : dataset.splits) {
    const Items items = name_items(split);
    place_photos(items, folder / split.name, place);
    write_coco_split(dataset, items, folder / split.name);
  }
}

void write_labels(const Items& items, const fs::path& folder) {
  make_folder(folder);
  for (const Item& item : items) write_text(folder / with_ending(item.name, ".txt"), yolo_text(*item.image));
}

// `below`: where in the folder of a split its photos are.
void write_data_yaml(const Dataset& dataset, const fs::path& folder, const std::string& below) {
  YAML::Emitter yaml;
  yaml << YAML::BeginMap;
  for (const Split& split : dataset.splits)
    yaml << YAML::Key << (split.name == "valid" ? "val" : split.name) << YAML::Value << split.name + below;
  yaml << YAML::Key << "nc" << YAML::Value << dataset.classes.size();
  yaml << YAML::Key << "names" << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const std::string& name : dataset.classes) yaml << YAML::SingleQuoted << name;
  yaml << YAML::EndSeq << YAML::EndMap;
  write_text(folder / "data.yaml", std::string(yaml.c_str()) + "\n");
}

void write_yolo(const Dataset& dataset, const fs::path& folder, const Placing& place) {
  for (const Split& split : dataset.splits) {
    const Items items = name_items(split);
    place_photos(items, folder / split.name / "images", place);
    write_labels(items, folder / split.name / "labels");
  }
  write_data_yaml(dataset, folder, "/images");
}

void write_coco_and_yolo(const Dataset& dataset, const fs::path& folder, const Placing& place) {
  write_coco(dataset, folder, place);
  for (const Split& split : dataset.splits) write_labels(name_items(split), folder / split.name);
  write_data_yaml(dataset, folder, "");
}

void write_voc(const Dataset& dataset, const fs::path& folder, const Placing& place) {
  for (const Split& split : dataset.splits) {
    const Items items = name_items(split);
    place_photos(items, folder / split.name, place);
    for (const Item& item : items) write_voc_image(dataset, item, folder / split.name);
  }
  write_text(folder / "classes.txt", names_text(dataset));
}

void write_darknet(const Dataset& dataset, const fs::path& folder, const Placing& place) {
  std::string data = fmt::format("classes = {}\n", dataset.classes.size());
  for (const Split& split : dataset.splits) {
    const Items items = name_items(split);
    place_photos(items, folder / split.name, place);
    std::string list;
    for (const Item& item : items) {
      write_text(folder / split.name / with_ending(item.name, ".txt"), yolo_text(*item.image));
      list += fmt::format("{}/{}\n", split.name, item.name);
    }
    write_text(folder / (split.name + ".txt"), list);
    data += fmt::format("{0} = {0}.txt\n", split.name);
  }
  write_text(folder / "obj.names", names_text(dataset));
  write_text(folder / "obj.data", data + "names = obj.names\nbackup = backup\n");
}

}  // namespace

std::vector<fs::path> written_photos(const Split& split, const std::string& format) {
  std::vector<fs::path> files;
  const fs::path folder = format == "yolo" ? fs::path(split.name) / "images" : fs::path(split.name);
  for (const Item& item : name_items(split)) files.push_back(folder / item.name);
  return files;
}

std::int64_t regions_without_place(const Dataset& dataset, const std::string& format) {
  if (format != "yolo" && format != "darknet") return 0;
  std::int64_t count = 0;
  for (const Split& split : dataset.splits)
    for (const LabelledImage& image : split.images) count += static_cast<std::int64_t>(image.ignored.size());
  return count;
}

void write_dataset(const Dataset& dataset, const fs::path& folder, const std::string& format, PlacePhotos place,
                   const std::atomic<bool>* stop) {
  using Writer = void (*)(const Dataset&, const fs::path&, const Placing&);
  const Writer writer = format == "coco"        ? write_coco
                        : format == "yolo"      ? write_yolo
                        : format == "voc"       ? write_voc
                        : format == "darknet"   ? write_darknet
                        : format == "coco+yolo" ? write_coco_and_yolo
                                                : nullptr;
  if (writer == nullptr)
    throw Error(fmt::format("unknown format '{}': choose coco, yolo, voc, darknet or coco+yolo", format));
  for (const Split& split : dataset.splits) {
    // Other splits (a COCO file with a name of its own) have no place in these layouts.
    if (split.name != "train" && split.name != "valid" && split.name != "test") {
      throw Error(fmt::format("split '{}' cannot be written: only train, valid and test have a place", split.name));
    }
  }
  for (const std::string& name : dataset.classes) {
    const bool plain = std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < ' '; });
    if (!plain || name.empty() || name.front() == ' ' || name.back() == ' ') {
      throw Error(fmt::format("class '{}' has no name that fits on a line: rename it with merge", name));
    }
  }
  std::error_code error;
  if (fs::exists(folder, error) && !(fs::is_directory(folder, error) && fs::is_empty(folder, error))) {
    throw Error(fmt::format("{}: exists and is not empty: name a new folder", folder.string()));
  }
  UnfinishedFolder unfinished(folder);
  make_folder(folder);
  writer(dataset, folder, {place, stop});
  unfinished.keep();
}

}  // namespace rook::io
