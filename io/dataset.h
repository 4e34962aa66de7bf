// Labelled photos on disk: COCO JSON, YOLO txt with data.yaml, darknet .data, Pascal VOC XML, data sets of the store
// (store.h); detected by what lies there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rook::io {

// A labelled box: centre and size relative to the (upright) image, 0..1.
struct LabelBox {
  float x = 0, y = 0, w = 0, h = 0;
  int cls = 0;
  int line = 0;                     // in LabelledImage::labels
  std::optional<float> score = {};  // of a box that a model proposes
};

// Where labels say that something is, but not well enough to train on or to count: COCO's crowds, VOC's difficult
// objects. Evaluation does not judge detections of the class there.
struct IgnoredRegion {
  float x = 0, y = 0, w = 0, h = 0;  // as of a LabelBox
  int cls = 0;
  bool crowd = false;  // many objects: a detection is there by its share inside, not by IoU
  bool operator==(const IgnoredRegion&) const = default;
};

struct LabelledImage {
  std::filesystem::path file;
  std::string name;           // file name, as lists of photos name it
  int width = 0, height = 0;  // pixels, EXIF orientation applied
  std::vector<LabelBox> boxes;
  std::filesystem::path labels = {};  // the file the boxes stand in; empty: they were not read from one
  int labels_line = 0;                // of this photo in it; 0: it is about this photo only
  std::vector<IgnoredRegion> ignored = {};
};

// One thing that is wrong with the labels.
struct Fault {
  enum class Kind {
    missing_image,
    unreadable_image,
    missing_label,
    unclear_layout,
    class_names,
    bad_line,
    polygon,
    ignored_region,
    unknown_class,
    out_of_range,
    empty_box,
    duplicate_box,
    tiny_box,
    too_many_boxes,
    size_mismatch,
    exif_rotated,
    duplicate_image
  };
  Kind kind;
  std::filesystem::path file;
  int line = 0;  // 0: the whole file
  std::string message;
  bool fatal = false;  // the box or image was left out
};
const char* name_of(Fault::Kind kind);

struct Split {
  std::string name;  // train, valid, test
  std::vector<LabelledImage> images;
};

struct Dataset {
  std::filesystem::path root;
  std::string format;  // "coco", "yolo", "darknet", "voc", "rook"
  std::vector<std::string> classes;
  std::vector<Split> splits;
  std::vector<Fault> faults;

  const Split* find(const std::string& split) const;  // null when there is none
};

struct DatasetOptions {
  // Classes joined or renamed on load, from -> to (`--merge bishop=black-bishop`). Unknown names are an error.
  std::vector<std::pair<std::string, std::string>> merge = {};
  bool drop_unused_classes = false;  // leave out classes without any box (COCO supercategories), after merging
  bool regions_use_classes = false;  // ... but for classes with ignored regions: of sets that are kept, not trained on
  bool missing_label_is_negative = false;
  int max_boxes = 200;
  int net_size = 416;            // boxes below one pixel at this size are tiny
  bool read_sizes = true;        // open each photo for its size (needed for faults about photos)
  bool decode = false;           // decode each photo: also finds damage within the pixel data (with read_sizes)
  bool find_duplicates = false;  // compare the bytes of all photos (reads those that have equal file sizes)
  bool keep_difficult = false;   // VOC objects marked <difficult>1 are boxes (otherwise ignored regions)
};

// Reads a folder or file. Everything that is wrong is listed in `faults`; throws Error when nothing at all can be read
// (no such folder, no format recognised, broken JSON/YAML with file:line, not one usable photo).
//   left out (fatal):  photos that are missing, unreadable or without labels; lines that do not parse; unknown classes;
//                      boxes without area, not finite, or entirely outside the photo; pixel boxes of a photo of another
//                      shape
//   kept (a warning):  boxes more than half a pixel outside (clipped); tiny and repeated boxes; more than max_boxes;
//   photos
//                      with an EXIF orientation; pixel boxes made for a larger or smaller copy (scaled); repeated
//                      photos
//   told (a warning):  a split that a data.yaml or .data names and that is not there; paths and layouts that could be
//                      read in two ways, and how they were; how many rows of YOLO labels are polygons, whose bounds are
//                      taken; how many COCO crowds (iscrowd 1) and VOC difficult objects there are: ignored regions
// Splits are named train, valid, test whatever the format calls them. Pixel conventions: COCO boxes are [left, top,
// width, height] with the first pixel spanning 0..1; VOC corners are whole pixels counted from 1, both inside the box,
// unless one of a set is 0: then all are edges counted from 0.
Dataset read_dataset(const std::filesystem::path& where, const DatasetOptions& options = {});

// The labels in YOLO's form that lie beside a photo, or in labels/ in place of images/; none where there is no such
// file. Throws Error with file:line for a line that would be left out of a data set.
std::optional<LabelledImage> read_photo_labels(const std::filesystem::path& photo,
                                               const std::vector<std::string>& classes);

// Keeps of a split only the images named in a list file (one name per line; with or without ending). An error names
// every line that matches no image.
void keep_only(Split& split, const std::filesystem::path& list_file);

}  // namespace rook::io
