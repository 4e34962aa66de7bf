#include "io/census.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include <fmt/format.h>

namespace rook::io {

namespace {

std::array<float, 3> spread(std::vector<float> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

SplitCensus count_split(const Split& split, std::size_t classes) {
  SplitCensus census;
  census.name = split.name;
  census.boxes_of_class.resize(classes);
  census.images_of_class.resize(classes);
  for (const LabelledImage& image : split.images) {
    ++census.images;
    census.boxes += static_cast<std::int64_t>(image.boxes.size());
    census.negatives += image.boxes.empty();
    census.most_boxes = std::max(census.most_boxes, static_cast<int>(image.boxes.size()));
    std::set<std::size_t> present;
    for (const LabelBox& box : image.boxes) {
      const std::size_t cls = static_cast<std::size_t>(box.cls);
      ++census.boxes_of_class[cls];
      present.insert(cls);
      const double area = static_cast<double>(box.w) * image.width * box.h * image.height;
      std::int64_t& bin = image.width <= 0 || image.height <= 0 ? census.unsized
                          : area < 32.0 * 32                    ? census.small
                          : area < 96.0 * 96                    ? census.medium
                                                                : census.large;
      ++bin;
    }
    for (const std::size_t cls : present) ++census.images_of_class[cls];
  }
  return census;
}

std::vector<PhotoSize> count_sizes(const Dataset& dataset) {
  std::map<std::pair<int, int>, std::int64_t> counts;
  for (const Split& split : dataset.splits) {
    for (const LabelledImage& image : split.images) {
      if (image.width > 0) ++counts[{image.width, image.height}];
    }
  }
  std::vector<PhotoSize> sizes;
  for (const auto& [size, images] : counts) sizes.push_back({size.first, size.second, images});
  std::stable_sort(sizes.begin(), sizes.end(),
                   [](const PhotoSize& a, const PhotoSize& b) { return a.images > b.images; });
  return sizes;
}

// Columns of text: the first to the left, the others to the right.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("  {:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

using SplitField = std::int64_t SplitCensus::*;

std::vector<std::string> split_row(const Census& census, const std::string& name, SplitField field) {
  std::vector<std::string> row = {name};
  std::int64_t total = 0;
  for (const SplitCensus& split : census.splits) {
    row.push_back(fmt::format("{}", split.*field));
    total += split.*field;
  }
  row.push_back(fmt::format("{}", total));
  return row;
}

std::vector<std::string> header_row(const Census& census, const std::string& title) {
  std::vector<std::string> row = {title};
  for (const SplitCensus& split : census.splits) row.push_back(split.name);
  row.push_back("all");
  return row;
}

std::string class_table(const Census& census) {
  std::vector<std::vector<std::string>> rows = {header_row(census, "boxes of class")};
  for (std::size_t c = 0; c < census.classes.size(); ++c) {
    std::vector<std::string> row = {census.classes[c]};
    std::int64_t total = 0;
    for (const SplitCensus& split : census.splits) {
      row.push_back(fmt::format("{}", split.boxes_of_class[c]));
      total += split.boxes_of_class[c];
    }
    row.push_back(fmt::format("{}", total));
    rows.push_back(row);
  }
  return table(rows);
}

std::string size_text(const Census& census) {
  constexpr std::size_t kShown = 6;
  std::string text = "photo sizes: ";
  for (std::size_t i = 0; i < std::min(kShown, census.sizes.size()); ++i) {
    const PhotoSize& size = census.sizes[i];
    text += fmt::format("{}{}x{} ({})", i ? ", " : "", size.width, size.height, size.images);
  }
  if (census.sizes.size() > kShown) text += fmt::format(", and {} more", census.sizes.size() - kShown);
  if (census.sizes.empty()) text += "not read";
  text += fmt::format(
      "\nbox sides, smallest / median / largest: {:.1f} / {:.1f} / {:.1f} % of the width, "
      "{:.1f} / {:.1f} / {:.1f} % of the height\n",
      100 * census.box_width[0], 100 * census.box_width[1], 100 * census.box_width[2], 100 * census.box_height[0],
      100 * census.box_height[1], 100 * census.box_height[2]);
  return text;
}

std::string fault_text(const Census& census) {
  if (census.faults.empty()) return "no faults\n";
  std::vector<std::vector<std::string>> rows = {{"faults", "left out", "warnings"}};
  std::string firsts;
  for (const auto& [kind, count] : census.faults) {
    rows.push_back({name_of(kind), fmt::format("{}", count.fatal), fmt::format("{}", count.warnings)});
    firsts += fmt::format("  first {}: {}\n", name_of(kind), count.first);
  }
  return table(rows) + firsts;
}

// Names come from files and may hold bytes that are no UTF-8, which JSON cannot: they are replaced.
std::string utf8(const std::string& text) {
  const std::string valid = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(valid).get<std::string>();
}

}  // namespace

std::int64_t Census::images() const {
  std::int64_t sum = 0;
  for (const SplitCensus& split : splits) sum += split.images;
  return sum;
}

std::int64_t Census::boxes() const {
  std::int64_t sum = 0;
  for (const SplitCensus& split : splits) sum += split.boxes;
  return sum;
}

Census take_census(const Dataset& dataset) {
  Census census;
  census.root = dataset.root.string();
  census.format = dataset.format;
  census.classes = dataset.classes;
  census.sizes = count_sizes(dataset);
  std::vector<float> widths, heights;
  std::map<std::string, std::set<std::string>> homes;
  for (const Split& split : dataset.splits) {
    census.splits.push_back(count_split(split, dataset.classes.size()));
    for (const LabelledImage& image : split.images) {
      homes[image.file.lexically_normal().string()].insert(split.name);
      for (const LabelBox& box : image.boxes) {
        widths.push_back(box.w);
        heights.push_back(box.h);
      }
    }
  }
  census.box_width = spread(std::move(widths));
  census.box_height = spread(std::move(heights));
  for (const auto& [file, splits] : homes) census.shared_photos += splits.size() > 1;
  for (const Fault& fault : dataset.faults) {
    FaultCount& count = census.faults[fault.kind];
    if (count.first.empty()) {
      count.first = fault.line > 0 ? fmt::format("{}:{}: {}", fault.file.string(), fault.line, fault.message)
                                   : fmt::format("{}: {}", fault.file.string(), fault.message);
    }
    ++(fault.fatal ? count.fatal : count.warnings);
  }
  return census;
}

std::string to_text(const Census& census) {
  std::string text = fmt::format("{} ({}): {} images, {} boxes, {} classes\n\n", census.root, census.format,
                                 census.images(), census.boxes(), census.classes.size());
  text += table(
      {header_row(census, ""), split_row(census, "images", &SplitCensus::images),
       split_row(census, "negatives", &SplitCensus::negatives), split_row(census, "boxes", &SplitCensus::boxes),
       split_row(census, "small (< 32x32)", &SplitCensus::small),
       split_row(census, "medium (< 96x96)", &SplitCensus::medium), split_row(census, "large", &SplitCensus::large)});
  text += "\n" + class_table(census) + "\n" + size_text(census);
  if (census.shared_photos > 0) text += fmt::format("photos in more than one split: {}\n", census.shared_photos);
  return text + "\n" + fault_text(census);
}

nlohmann::json to_json(const Census& census) {
  using nlohmann::json;
  json root = {
      {"root", utf8(census.root)},     {"format", census.format},        {"images", census.images()},
      {"boxes", census.boxes()},       {"classes", json::array()},       {"splits", json::object()},
      {"image_sizes", json::array()},  {"faults", json::object()},       {"shared_photos", census.shared_photos},
      {"box_width", census.box_width}, {"box_height", census.box_height}};
  for (const std::string& name : census.classes) root["classes"].push_back(utf8(name));
  for (const SplitCensus& split : census.splits) {
    json per_class = json::object();
    for (std::size_t c = 0; c < census.classes.size(); ++c) {
      per_class[utf8(census.classes[c])] = {{"boxes", split.boxes_of_class[c]}, {"images", split.images_of_class[c]}};
    }
    root["splits"][utf8(split.name)] = {
        {"images", split.images},   {"boxes", split.boxes},           {"negatives", split.negatives},
        {"small", split.small},     {"medium", split.medium},         {"large", split.large},
        {"unsized", split.unsized}, {"most_boxes", split.most_boxes}, {"per_class", std::move(per_class)}};
  }
  for (const PhotoSize& size : census.sizes) {
    root["image_sizes"].push_back({{"width", size.width}, {"height", size.height}, {"images", size.images}});
  }
  for (const auto& [kind, count] : census.faults) {
    root["faults"][name_of(kind)] = {
        {"left_out", count.fatal}, {"warnings", count.warnings}, {"first", utf8(count.first)}};
  }
  return root;
}

}  // namespace rook::io
