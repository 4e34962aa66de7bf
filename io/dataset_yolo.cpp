// YOLO text labels: one .txt per photo with lines `class x y w h` (centre and size, 0..1), or polygons, whose bounds
// are the boxes. darknet reads labels as a stream of numbers, so that one column too many silently shifts every later
// row; here a line is a line, and has exactly five fields or is a whole polygon (darknet.md 8.6).
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

constexpr double kOutside = .01;  // of a polygon's points, as in Ultralytics; what is farther out is no polygon

bool may_be_polygon(const std::vector<std::string_view>& fields) {
  if (fields.size() < 7 || fields.size() % 2 == 0) return false;
  // Trackers write the score and the number of the track after the box. Numbers from 2 are no coordinates, 1 could be.
  const auto whole = std::count_if(fields.begin() + 1, fields.end(), parse_integer);
  return !(fields.size() == 7 && whole == 1 && fields[6] == "1");
}

std::string wrong_count(const std::vector<std::string_view>& fields, bool keypoints) {
  const char* hint = fields.size() == 6               ? " (a sixth: a score or a track?)"
                     : fields.size() > 6 && keypoints ? " (key points are not read)"
                     : fields.size() == 7             ? " (a score and a track?)"
                                                      : "";
  return fmt::format("{} fields{}, must be five: class x y width height", fields.size(), hint);
}

// The bounds of a polygon; false when it is none.
bool to_bounds(std::span<const double> points, RawBox& box) {
  double low[2] = {2, 2}, high[2] = {-2, -2};
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!(points[i] >= -kOutside && points[i] <= 1 + kOutside)) return false;
    low[i % 2] = std::min(low[i % 2], points[i]);
    high[i % 2] = std::max(high[i % 2], points[i]);
  }
  box.x = (low[0] + high[0]) / 2;
  box.y = (low[1] + high[1]) / 2;
  box.w = high[0] - low[0];
  box.h = high[1] - low[1];
  return true;
}

struct LabelLine {
  RawBox box = {};
  bool polygon = false;
  std::string wrong = {};  // empty: nothing
};

LabelLine parse_label_line(std::string_view text, bool keypoints) {
  LabelLine line;
  const std::vector<std::string_view> fields = fields_of(text);
  line.polygon = !keypoints && may_be_polygon(fields);
  if (fields.size() != 5 && !line.polygon) return {.wrong = wrong_count(fields, keypoints)};
  const std::optional<int> cls = parse_integer(fields[0]);
  if (!cls) return {.wrong = fmt::format("class '{}' is not a whole number", fields[0])};
  line.box.cls = *cls;
  std::vector<double> values;
  for (const std::string_view field : std::span(fields).subspan(1)) {
    const std::optional<double> value = parse_number(field);
    if (!value) return {.wrong = fmt::format("'{}' is not a number", field)};
    values.push_back(*value);
  }
  if (!line.polygon) {
    line.box = {.x = values[0], .y = values[1], .w = values[2], .h = values[3], .cls = *cls};
  } else if (!to_bounds(values, line.box)) {
    line.wrong = fmt::format("{} fields: neither a box (class x y width height) nor a polygon (points from 0 to 1)",
                             fields.size());
  }
  return line;
}

bool holds_labels(const fs::path& file) {
  try {
    const std::vector<TextLine> lines = read_lines(file);
    return !lines.empty() && parse_label_line(lines.front().text, false).wrong.empty();
  } catch (const Error&) {
    return false;
  }
}

// Where labels may lie, and the folders of their photos.
using LabelFolders = std::map<fs::path, std::set<fs::path>>;

// Files in the folders of photos that have the stem of labels, but are no photos, by their stems.
std::map<fs::path, fs::path> other_files(const std::set<fs::path>& homes) {
  std::map<fs::path, fs::path> others;
  for (const fs::path& home : homes) {
    for (const fs::path& file : files_in(home)) {
      if (file.extension() != ".txt") others.emplace(file.stem(), file);
    }
  }
  return others;
}

// Labels whose photo is missing or of a kind that is not read.
void find_orphans(const LabelFolders& folders, const std::set<fs::path>& expected, std::vector<Fault>& faults) {
  for (const auto& [folder, homes] : folders) {
    std::vector<fs::path> orphans;
    for (const fs::path& file : files_in(folder, ".txt")) {
      if (expected.contains(file) || file.filename() == "classes.txt") continue;
      // Beside photos there may be lists of them, a README and other texts.
      if (!homes.contains(folder) || holds_labels(file)) orphans.push_back(file);
    }
    if (orphans.empty()) continue;
    const std::map<fs::path, fs::path> others = other_files(homes);
    for (const fs::path& file : orphans) {
      const auto other = others.find(file.stem());
      const std::string hint =
          other == others.end() ? "" : fmt::format(": {} is not read as one", other->second.string());
      faults.push_back({Fault::Kind::missing_image, file, 0, "labels without a photo" + hint, true});
    }
  }
}

void add_folder(const YoloSource& source, RawSplit& split, std::vector<Fault>& faults) {
  LabelFolders folders;
  std::set<fs::path> expected;
  for (const fs::path& photo : photos_in(source.where, true, source.skip)) {
    for (const fs::path& candidate : label_candidates(photo)) {
      expected.insert(candidate);
      folders[candidate.parent_path()].insert(photo.parent_path());
    }
    RawImage image;
    image.file = photo;
    split.images.push_back(std::move(image));
  }
  // Labels may be in folders that have no photo at all.
  const auto apart = [](const fs::path& folder) {
    std::vector<fs::path> labels = label_candidates(folder / "photo");
    labels.erase(labels.begin());
    for (fs::path& file : labels) file = file.parent_path();
    return labels;
  };
  std::vector<fs::path> skip;
  for (const fs::path& folder : source.skip) {
    const std::vector<fs::path> labels = apart(folder);
    skip.insert(skip.end(), labels.begin(), labels.end());
  }
  for (const fs::path& labels : apart(source.where)) {
    for (const fs::path& folder : folders_below(labels, skip)) folders.try_emplace(folder);
  }
  find_orphans(folders, expected, faults);
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

// Labels of one photo, from the first file there is.
void load_labels(RawImage& image, bool keypoints, const DatasetOptions& options) {
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
    parse_yolo_labels(read_text(*found), keypoints, image);
  } catch (const Error&) {
    image.dropped = true;
    image.faults.push_back({Fault::Kind::missing_label, *found, 0, "cannot be read", true});
  }
}

// One fault says how many there are: they are as good as boxes, but not all that was drawn.
void tell_polygons(RawDataset& raw) {
  std::set<fs::path> files;  // a photo may be of two splits
  int count = 0;
  Fault fault{.kind = Fault::Kind::polygon, .file = {}, .message = {}};
  for (const RawSplit& split : raw.splits) {
    for (const RawImage& image : split.images) {
      if (image.polygons == 0 || !files.insert(image.labels).second) continue;
      if (count == 0) {
        fault.file = image.labels;
        fault.line = image.polygon_line;
      }
      count += image.polygons;
    }
  }
  if (count == 0) return;
  fault.message = fmt::format(
      "{} rows are polygons (class x1 y1 x2 y2 ...), this is the first: the boxes around them "
      "are taken",
      count);
  raw.faults.push_back(std::move(fault));
}

}  // namespace

void parse_yolo_labels(std::string_view text, bool keypoints, RawImage& image) {
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view row = trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (row.empty()) continue;
    LabelLine line = parse_label_line(row, keypoints);
    const int cls = line.box.cls;
    if (!line.wrong.empty()) {
      image.faults.push_back({Fault::Kind::bad_line, image.labels, number, line.wrong, true});
    } else if (cls < 0 || cls >= kMostClasses) {
      image.faults.push_back(
          {Fault::Kind::unknown_class, image.labels, number, fmt::format("there is no class {}", cls), true});
    } else {
      line.box.line = number;
      image.boxes.push_back(line.box);
      if (line.polygon && image.polygons++ == 0) image.polygon_line = number;
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

void load_yolo_labels(RawDataset& raw, const DatasetOptions& options) {
  for (RawSplit& split : raw.splits) {
    parallel_for(split.images.size(), [&](std::size_t i) {
      if (!split.images[i].dropped) load_labels(split.images[i], raw.keypoints, options);
    });
  }
  tell_polygons(raw);
}

void read_yolo_sources(RawDataset& raw, std::span<const YoloSource> sources, const DatasetOptions& options) {
  std::set<fs::path> seen;
  for (const YoloSource& source : sources) {
    std::vector<Fault> faults;
    RawSplit& split = raw.split(source.split);
    if (is_folder(source.where)) {
      add_folder(source, split, faults);
    } else {
      read_photo_list(source, split, faults);
    }
    // What is named for two splits is read twice, its faults told once.
    if (seen.insert(source.where).second) raw.faults.insert(raw.faults.end(), faults.begin(), faults.end());
  }
  load_yolo_labels(raw, options);
}

RawDataset read_yolo_folders(const fs::path& root, const YoloLayout& layout, const DatasetOptions& options) {
  RawDataset raw;
  raw.root = root;
  raw.format = "yolo";
  raw.faults = layout.faults;
  read_yolo_sources(raw, layout.sources, options);
  name_classes(raw);
  return raw;
}

}  // namespace rook::io::detail
