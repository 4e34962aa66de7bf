// YOLO text labels: one .txt per photo with lines `class x y w h` (centre and size, 0..1).
// darknet reads labels as a stream of numbers, so that one column too many silently shifts every later row; here a line
// is a line, with exactly five fields (darknet.md 8.6).
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

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

// A list of photos, one path per line. Lines without a photo become faults.
void read_photo_list(const YoloSource& source, RawSplit& split, std::vector<Fault>& faults) {
  for (const TextLine& line : read_lines(source.where)) {
    RawImage image;
    image.file = resolve_listed(line.text, source.bases);
    if (!is_file(image.file)) {
      faults.push_back(
          {Fault::Kind::missing_image, source.where, line.line, fmt::format("no photo '{}'", line.text), true});
      continue;
    }
    split.images.push_back(std::move(image));
  }
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

void read_yolo_sources(RawDataset& raw, std::span<const YoloSource> sources, const DatasetOptions& options) {
  std::set<fs::path> seen;
  for (const YoloSource& source : sources) {
    std::vector<Fault> faults;
    RawSplit& split = raw.split(source.split);
    if (is_folder(source.where)) {
      add_folder(source.where, split, faults);
    } else {
      read_photo_list(source, split, faults);
    }
    // What is named for two splits is read twice, its faults told once.
    if (seen.insert(source.where).second) raw.faults.insert(raw.faults.end(), faults.begin(), faults.end());
  }
  for (RawSplit& split : raw.splits) load_yolo_labels(split.images, options);
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

RawDataset read_yolo_folders(const fs::path& root, std::span<const YoloSource> sources, const DatasetOptions& options) {
  RawDataset raw;
  raw.root = root;
  raw.format = "yolo";
  read_yolo_sources(raw, sources, options);
  const fs::path names = find_names(root);
  raw.classes = names.empty() ? numbered_classes(raw) : read_names(names);
  return raw;
}

}  // namespace rook::io::detail
