// What the dataset readers share: labels as they stand in the files, before anything is checked. A reader fills a
// RawDataset; finish_dataset (dataset_faults.cpp) checks it and makes the Dataset. Not for use outside of io/.
#pragma once

#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/dataset.h"

namespace rook::io::detail {

// Centre and size, in pixels of the declared photo or relative to it (RawImage::pixels).
struct RawBox {
  double x = 0, y = 0, w = 0, h = 0;
  int cls = 0;
  int line = 0;
  bool crowd = false;  // of RawImage::ignored
};

struct RawImage {
  std::filesystem::path file;    // the photo
  std::string name = {};         // empty: that of the file
  std::filesystem::path labels;  // the file that faults of boxes name
  std::string about;             // begins messages about boxes where `labels` holds many photos
  int width = 0, height = 0;     // as the labels say, 0 where they do not
  int line = 0;                  // of that size in `labels`
  bool pixels = false;           // unit of the boxes
  bool dropped = false;          // left out; a fault says why
  bool repeated = false;         // a photo of another split with the same labels: its faults are listed there
  int polygons = 0;              // rows of `labels` of which the bounds were taken
  int polygon_line = 0;          // the first of them
  std::vector<RawBox> boxes;
  std::vector<Fault> faults;
  std::vector<RawBox> ignored = {};  // become IgnoredRegions
};

struct RawSplit {
  std::string name;
  std::vector<RawImage> images;
};

struct RawDataset {
  std::filesystem::path root;
  std::string format;
  bool keypoints = false;  // YOLO rows go on after the box: they are no polygons
  std::vector<std::string> classes;
  std::vector<RawSplit> splits;
  std::vector<Fault> faults;

  RawSplit& split(const std::string& name);  // found or added
};

// --- readers: each takes what detection found ---

struct CocoSource {
  std::string split;
  std::filesystem::path json;
};
RawDataset read_coco(const std::filesystem::path& root, const std::vector<CocoSource>& sources,
                     const DatasetOptions& options);

RawDataset read_yolo_yaml(const std::filesystem::path& yaml, const DatasetOptions& options);

struct YoloSource {
  std::string split;
  std::filesystem::path where;                    // a folder of photos or a list of them
  std::vector<std::filesystem::path> bases = {};  // what the lines of a list are relative to
  std::vector<std::filesystem::path> skip = {};   // folders below that are of other splits
};
struct YoloLayout {
  std::vector<YoloSource> sources;
  std::vector<Fault> faults;
};
// Without a data.yaml: names of classes are looked for (name_classes).
RawDataset read_yolo_folders(const std::filesystem::path& root, const YoloLayout& layout,
                             const DatasetOptions& options);

RawDataset read_darknet(const std::filesystem::path& data, const DatasetOptions& options);

// `folder` has Annotations/ (and ImageSets/Main), or XML files beside photos, itself or per split; see has_voc and
// dataset_voc_layout.h.
RawDataset read_voc(const std::filesystem::path& folder, const DatasetOptions& options);
bool has_voc(const std::filesystem::path& folder);

// `folder` holds a manifest of the store (store.h).
RawDataset read_stored(const std::filesystem::path& folder);

// The checks, merging and dropping of classes; see read_dataset.
Dataset finish_dataset(RawDataset raw, const DatasetOptions& options);
// Joins and renames classes one pair of options.merge after the other; gives the new number of each old class.
std::vector<int> merge_classes(std::vector<std::string>& classes, const DatasetOptions& options);
void drop_unused_classes(Dataset& dataset, bool regions_use_classes);
// Photos listed twice in a split lose the second mention; photos of two splits are told once per pair of splits, as
// training on what one validates with is the worst of faults and may be a whole split.
void find_repeated_photos(std::vector<RawSplit>& splits, std::vector<Fault>& faults);
// Adds a fault per photo whose bytes equal those of an earlier photo.
void find_equal_photos(const std::vector<Split>& splits, std::vector<Fault>& faults);

// --- YOLO label text, also darknet's ---

inline constexpr int kMostClasses = 10000;  // a larger class number is a mistake, not a class
// Fills image.boxes from the lines `class x y w h`, or, unless `keypoints`, `class x1 y1 x2 y2 x3 y3 ...`: a polygon,
// of which the bounds are the box. Faulty lines become faults.
void parse_yolo_labels(std::string_view text, bool keypoints, RawImage& image);
// Finds the label file of each photo (label_candidates) and parses it.
void load_yolo_labels(RawDataset& raw, const DatasetOptions& options);
// Where labels of a photo may lie, in the order of search: beside it, then in labels/ in place of images/ or
// JPEGImages/.
std::vector<std::filesystem::path> label_candidates(const std::filesystem::path& photo);
// Photos of folders and lists with their labels.
void read_yolo_sources(RawDataset& raw, std::span<const YoloSource> sources, const DatasetOptions& options);
// Names from files in the root, in folders of photos and of labels; class_0, class_1, ... where there are none that
// fit, which is told. `count`: of the classes, 0: as many as labels use. Throws Error for files that contradict each
// other.
void name_classes(RawDataset& raw, int count = 0);

// --- files and text ---

std::string read_text(const std::filesystem::path& file);
int line_at(std::string_view text, std::size_t offset);  // counted from 1
std::string_view trimmed(std::string_view text);
std::vector<std::string_view> fields_of(std::string_view line);
struct TextLine {
  std::string text;
  int line = 0;
};
std::vector<TextLine> read_lines(const std::filesystem::path& file);  // trimmed, blank ones left out
std::optional<double> parse_number(std::string_view text);            // may be inf or nan
std::optional<int> parse_integer(std::string_view text);

// train, valid or test for all the ways these are written (val2017, Validation, instances_train, ...).
std::optional<std::string> split_name(std::string_view name);
// The same for a key of a data.yaml or .data: a word alone, as others ("val_split") are keys of other tools.
std::optional<std::string> split_of_key(std::string_view key);
bool is_photo(const std::filesystem::path& file);
// Recursive: also what links to folders lead to, but for `skip` and what lies below it.
std::vector<std::filesystem::path> photos_in(const std::filesystem::path& folder, bool recursive,
                                             std::span<const std::filesystem::path> skip = {});
// The folder and all below it, each once whatever links lead to it; not `skip` and what lies below it.
std::vector<std::filesystem::path> folders_below(const std::filesystem::path& folder,
                                                 std::span<const std::filesystem::path> skip = {});
// All files where no ending is given.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder, std::string_view ending = {});
std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder);
bool is_file(const std::filesystem::path& file);
bool is_folder(const std::filesystem::path& folder);
// The first of base / path that exists; an empty path when none does. Windows separators are understood.
std::filesystem::path resolve(const std::string& path, std::span<const std::filesystem::path> bases);
// As resolve, then without a leading data/: CVAT names files by a folder that its archives do not have.
std::filesystem::path resolve_exported(const std::string& path, std::span<const std::filesystem::path> bases);
// As resolve_exported, and last from the current folder, which is all that darknet looks at.
std::filesystem::path resolve_listed(const std::string& path, std::span<const std::filesystem::path> bases);
// A names file: one class per line; trailing blank lines are ignored, blank lines inside and repeated names are errors.
std::vector<std::string> read_names(const std::filesystem::path& file);
// classes.txt, *.names, ... in a folder; empty when there is none.
std::filesystem::path find_names(const std::filesystem::path& folder);

Error error_at(const std::filesystem::path& file, int line, const std::string& message,
               SourceLocation where = SourceLocation::current());

// fn(i) for i < count on all threads. Of the exceptions the one of the lowest i is rethrown, whatever the threads did.
template <class Function>
void parallel_for(std::size_t count, const Function& fn) {
  std::exception_ptr first;
  std::size_t first_index = count;
#pragma omp parallel for schedule(dynamic, 8) if (count > 32)
  for (std::size_t i = 0; i < count; ++i) {
    try {
      fn(i);
    } catch (...) {
#pragma omp critical(rook_dataset_parallel_for)
      if (i < first_index) {
        first_index = i;
        first = std::current_exception();
      }
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace rook::io::detail
