// What is checked about labels and photos, and what is left out for it (listed at read_dataset).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

#include "io/cfg.h"
#include "io/dataset_internal.h"
#include "io/image.h"

namespace rook::io {

const char* name_of(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::missing_image:
      return "missing_image";
    case Fault::Kind::unreadable_image:
      return "unreadable_image";
    case Fault::Kind::missing_label:
      return "missing_label";
    case Fault::Kind::unclear_layout:
      return "unclear_layout";
    case Fault::Kind::class_names:
      return "class_names";
    case Fault::Kind::bad_line:
      return "bad_line";
    case Fault::Kind::polygon:
      return "polygon";
    case Fault::Kind::ignored_region:
      return "ignored_region";
    case Fault::Kind::unknown_class:
      return "unknown_class";
    case Fault::Kind::out_of_range:
      return "out_of_range";
    case Fault::Kind::empty_box:
      return "empty_box";
    case Fault::Kind::duplicate_box:
      return "duplicate_box";
    case Fault::Kind::tiny_box:
      return "tiny_box";
    case Fault::Kind::too_many_boxes:
      return "too_many_boxes";
    case Fault::Kind::size_mismatch:
      return "size_mismatch";
    case Fault::Kind::exif_rotated:
      return "exif_rotated";
    case Fault::Kind::duplicate_image:
      return "duplicate_image";
  }
  return "unknown";
}

namespace detail {

namespace {

// Checks one photo and its boxes. `number` gives the class after merging for each class number of the labels.
class ImageCheck {
 public:
  ImageCheck(RawImage& raw, std::span<const int> number, const std::vector<std::string>& classes,
             const DatasetOptions& options)
      : raw_(raw), number_(number), classes_(classes), options_(options) {}

  std::optional<LabelledImage> run();

 private:
  bool read_size();
  void compare_sizes(const ImageSize& size);
  void to_upright(RawBox& box) const;
  void to_photo(RawBox& box) const;
  void keep_region(RawBox box);
  void check_box(RawBox box);
  bool clip(RawBox& box, const std::string& text);
  void warn_about(const LabelBox& box, int line, const std::string& text);
  void box_fault(Fault::Kind kind, int line, const std::string& message, bool fatal) {
    raw_.faults.push_back({kind, raw_.labels, line, raw_.about + message, fatal});
  }

  RawImage& raw_;
  std::span<const int> number_;
  const std::vector<std::string>& classes_;
  const DatasetOptions& options_;
  LabelledImage out_;
  int frame_width_ = 0, frame_height_ = 0;  // what pixel boxes are relative to
  int turn_ = 1;                            // EXIF orientation still to be applied to the boxes
  std::set<std::tuple<int, float, float, float, float>> seen_;
};

// Whether a photo of a x b may be a scaled copy of one of w x h: equal shape but for rounding to whole pixels.
bool same_shape(int a, int b, int w, int h) {
  const double scale = static_cast<double>(h) / b;
  return std::abs(a * scale - w) <= std::max(1.0, scale);
}

void ImageCheck::compare_sizes(const ImageSize& size) {
  const int w = raw_.width, h = raw_.height;
  const bool declared = w > 0 && h > 0;
  const bool sideways = size.orientation >= 5;
  const bool fits = !declared || (w == size.width && h == size.height);
  if (size.orientation != 1) {
    // Only a photo on its side tells, by the declared size, whether its labels know of the orientation.
    const bool stored = raw_.pixels && sideways && !fits && w == size.height && h == size.width;
    turn_ = stored ? size.orientation : 1;
    raw_.faults.push_back(
        {Fault::Kind::exif_rotated, raw_.file, 0,
         fmt::format("EXIF orientation {}: its boxes are taken as drawn on the {} photo{}", size.orientation,
                     stored ? "stored" : "upright", stored ? " (by the size the labels give) and turned" : ""),
         false});
    if (stored) return;
  }
  if (fits) return;
  const bool scaled = same_shape(w, h, size.width, size.height);
  raw_.dropped = raw_.pixels && !scaled;
  raw_.faults.push_back({Fault::Kind::size_mismatch, raw_.labels, raw_.line,
                         fmt::format("{}labels are for {}x{}, the photo has {}x{}{}", raw_.about, w, h, size.width,
                                     size.height, raw_.dropped ? ", another shape" : ": boxes are scaled"),
                         raw_.dropped});
}

bool ImageCheck::read_size() {
  frame_width_ = out_.width = raw_.width;
  frame_height_ = out_.height = raw_.height;
  const bool needed =
      raw_.pixels && !(raw_.boxes.empty() && raw_.ignored.empty()) && (raw_.width <= 0 || raw_.height <= 0);
  if (!options_.read_sizes && !needed) return true;
  ImageSize size;
  try {
    size = read_image_size(raw_.file);
    if (options_.decode) read_image(raw_.file, 1);
  } catch (const Error& error) {
    raw_.faults.push_back({Fault::Kind::unreadable_image, raw_.file, 0, error.what(), true});
    return false;
  }
  if (!size.ended) {
    raw_.faults.push_back({Fault::Kind::unreadable_image, raw_.file, 0,
                           "the JPEG has no end marker, but all its rows: used; save it anew to be sure", false});
  }
  out_.width = size.width;
  out_.height = size.height;
  compare_sizes(size);
  if (frame_width_ <= 0 || frame_height_ <= 0) {
    frame_width_ = size.width;
    frame_height_ = size.height;
  }
  return !raw_.dropped;
}

// Boxes on the stored pixels -> boxes on the upright photo (orientations 5..8 of the EXIF standard, tag 0x0112).
void ImageCheck::to_upright(RawBox& box) const {
  if (turn_ < 5) return;
  const double x = box.x, y = box.y;
  const bool mirror_x = turn_ == 6 || turn_ == 7;
  const bool mirror_y = turn_ == 7 || turn_ == 8;
  box.x = mirror_x ? 1 - y : y;
  box.y = mirror_y ? 1 - x : x;
  std::swap(box.w, box.h);
}

void ImageCheck::to_photo(RawBox& box) const {
  if (raw_.pixels) {
    box.x /= frame_width_;
    box.w /= frame_width_;
    box.y /= frame_height_;
    box.h /= frame_height_;
  }
  to_upright(box);
}

bool is_finite(const RawBox& box) {
  return std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) && std::isfinite(box.h);
}

// What is wrong with a region costs nobody a box: it is clipped or left out without a word.
void ImageCheck::keep_region(RawBox box) {
  if (box.cls < 0 || box.cls >= static_cast<int>(number_.size()) || !is_finite(box)) return;
  to_photo(box);
  const double left = std::max(0.0, box.x - box.w / 2), right = std::min(1.0, box.x + box.w / 2);
  const double top = std::max(0.0, box.y - box.h / 2), bottom = std::min(1.0, box.y + box.h / 2);
  const IgnoredRegion region{static_cast<float>((left + right) / 2),     static_cast<float>((top + bottom) / 2),
                             static_cast<float>(right - left),           static_cast<float>(bottom - top),
                             number_[static_cast<std::size_t>(box.cls)], box.crowd};
  if (region.w > 0 && region.h > 0) out_.ignored.push_back(region);
}

// Clips to the photo; false when nothing is left. Half a pixel outside is rounding and not worth a word.
bool ImageCheck::clip(RawBox& box, const std::string& text) {
  constexpr double kExact = 1e-6;  // what six decimals lose: such boxes stay as they are
  const double left = box.x - box.w / 2, right = box.x + box.w / 2;
  const double top = box.y - box.h / 2, bottom = box.y + box.h / 2;
  if (!(right > 0 && left < 1 && bottom > 0 && top < 1)) {
    const bool pixels = !raw_.pixels && (box.x > 1 || box.y > 1);
    box_fault(Fault::Kind::out_of_range, box.line,
              fmt::format("box {} lies outside the photo{}", text, pixels ? " (pixels? values must be 0..1)" : ""),
              true);
    return false;
  }
  const double half_x = .5 / (out_.width > 0 ? out_.width : options_.net_size);
  const double half_y = .5 / (out_.height > 0 ? out_.height : options_.net_size);
  const double over_x = std::max(-left, right - 1), over_y = std::max(-top, bottom - 1);
  if (over_x > half_x + kExact || over_y > half_y + kExact) {
    box_fault(Fault::Kind::out_of_range, box.line, fmt::format("box {} reaches outside the photo: clipped", text),
              false);
  }
  if (over_x > kExact) {
    const double l = std::max(0.0, left), r = std::min(1.0, right);
    box.x = (l + r) / 2;
    box.w = r - l;
  }
  if (over_y > kExact) {
    const double t = std::max(0.0, top), b = std::min(1.0, bottom);
    box.y = (t + b) / 2;
    box.h = b - t;
  }
  return true;
}

void ImageCheck::warn_about(const LabelBox& box, int line, const std::string& text) {
  if (!seen_.insert({box.cls, box.x, box.y, box.w, box.h}).second) {
    box_fault(Fault::Kind::duplicate_box, line,
              fmt::format("a second {} at {}", classes_[static_cast<std::size_t>(box.cls)], text), false);
  }
  const float net = static_cast<float>(options_.net_size);
  if (box.w * net < 1 || box.h * net < 1) {
    box_fault(Fault::Kind::tiny_box, line,
              fmt::format("box {} is {:.2f}x{:.2f} pixels at network size {}", text, box.w * net, box.h * net,
                          options_.net_size),
              false);
  }
}

void ImageCheck::check_box(RawBox box) {
  const std::string text = fmt::format("[{:.6g} {:.6g} {:.6g} {:.6g}]", box.x, box.y, box.w, box.h);
  if (box.cls < 0 || box.cls >= static_cast<int>(number_.size())) {
    return box_fault(Fault::Kind::unknown_class, box.line,
                     fmt::format("class {}, but there are {} classes, counted from 0", box.cls, number_.size()), true);
  }
  if (!is_finite(box)) {
    return box_fault(Fault::Kind::out_of_range, box.line, fmt::format("box {} is not finite", text), true);
  }
  to_photo(box);
  if (box.w > 0 && box.h > 0 && !clip(box, text)) return;
  const LabelBox label{static_cast<float>(box.x),
                       static_cast<float>(box.y),
                       static_cast<float>(box.w),
                       static_cast<float>(box.h),
                       number_[static_cast<std::size_t>(box.cls)],
                       box.line};
  if (!(label.w > 0 && label.h > 0)) {  // also what is too small for a float
    return box_fault(Fault::Kind::empty_box, box.line, fmt::format("box {} has no area", text), true);
  }
  warn_about(label, box.line, text);
  out_.boxes.push_back(label);
}

std::optional<LabelledImage> ImageCheck::run() {
  if (raw_.dropped || !read_size()) return std::nullopt;
  out_.file = raw_.file;
  out_.name = raw_.name.empty() ? raw_.file.filename().string() : raw_.name;
  out_.labels = raw_.labels;
  out_.labels_line = raw_.line;
  for (const RawBox& box : raw_.boxes) check_box(box);
  for (const RawBox& box : raw_.ignored) keep_region(box);
  if (static_cast<int>(out_.boxes.size()) > options_.max_boxes) {
    box_fault(Fault::Kind::too_many_boxes, 0,
              fmt::format("{} boxes, more than {}: training ignores the rest", out_.boxes.size(), options_.max_boxes),
              false);
  }
  return std::move(out_);
}

}  // namespace

Dataset finish_dataset(RawDataset raw, const DatasetOptions& options) {
  const auto rank = [](const RawSplit& split) {
    return split.name == "train" ? 0 : split.name == "valid" ? 1 : split.name == "test" ? 2 : 3;
  };
  std::stable_sort(raw.splits.begin(), raw.splits.end(),
                   [&](const RawSplit& a, const RawSplit& b) { return rank(a) < rank(b); });
  const std::vector<int> number = merge_classes(raw.classes, options);
  find_repeated_photos(raw.splits, raw.faults);

  Dataset dataset;
  dataset.root = raw.root;
  dataset.format = raw.format;
  dataset.classes = raw.classes;
  dataset.faults = std::move(raw.faults);
  std::size_t kept = 0;
  for (RawSplit& part : raw.splits) {
    std::vector<std::optional<LabelledImage>> checked(part.images.size());
    parallel_for(part.images.size(), [&](std::size_t i) {
      checked[i] = ImageCheck(part.images[i], number, dataset.classes, options).run();
    });
    Split split{.name = part.name, .images = {}};
    for (std::size_t i = 0; i < checked.size(); ++i) {
      if (checked[i]) split.images.push_back(std::move(*checked[i]));
      if (part.images[i].repeated) continue;
      std::move(part.images[i].faults.begin(), part.images[i].faults.end(), std::back_inserter(dataset.faults));
    }
    kept += split.images.size();
    dataset.splits.push_back(std::move(split));
  }
  if (options.find_duplicates) find_equal_photos(dataset.splits, dataset.faults);
  if (kept == 0) {
    std::string why;
    if (!dataset.faults.empty()) {
      const Fault& fault = dataset.faults.front();
      why = fmt::format(": {} faults, the first {}:{}: {}", dataset.faults.size(), fault.file.string(), fault.line,
                        fault.message);
    }
    throw Error(fmt::format("{}: no usable photo in it{}", raw.root.string(), why));
  }
  if (options.drop_unused_classes) drop_unused_classes(dataset, options.regions_use_classes);
  return dataset;
}

}  // namespace detail
}  // namespace rook::io
