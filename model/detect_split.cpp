#include "model/detect_split.h"

#include <algorithm>

#include "base/error.h"
#include "io/image.h"

namespace rook {

namespace {

// Photos of a split that are looked at together.
struct Batch {
  std::vector<const io::LabelledImage*> labelled;
  std::vector<io::Image> photos;
};

// From `next` on, which moves; as many as are asked for, fewer at the end.
Batch read_batch(const io::Split& split, std::size_t& next, std::size_t most, int channels,
                 std::vector<Unreadable>* unreadable) {
  Batch batch;
  for (; next < split.images.size() && batch.photos.size() < most; ++next) {
    const io::LabelledImage& image = split.images[next];
    try {
      batch.photos.push_back(io::read_image(image.file, channels));
      batch.labelled.push_back(&image);
    } catch (const Error& error) {
      if (!unreadable) throw;
      unreadable->push_back({next, error.what()});
    }
  }
  return batch;
}

}  // namespace

std::vector<ImageResult> detect_split(Detector& detector, const io::Split& split, int channels,
                                      const std::atomic<bool>* stop, const std::function<void(int)>& done,
                                      std::vector<Unreadable>* unreadable) {
  std::vector<ImageResult> results;
  for (std::size_t next = 0; next < split.images.size();) {
    if (stop && *stop) throw Error("interrupted");
    const Batch batch = read_batch(split, next, static_cast<std::size_t>(detector.batch()), channels, unreadable);
    if (batch.photos.empty()) continue;
    auto boxes = detector.detect(batch.photos);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const io::LabelledImage& image = *batch.labelled[i];
      ImageResult result{.name = image.name,
                         .width = batch.photos[i].width,
                         .height = batch.photos[i].height,
                         .detections = std::move(boxes[i]),
                         .truths = {},
                         .ignored = image.ignored};
      for (const io::LabelBox& box : image.boxes) result.truths.push_back({box.x, box.y, box.w, box.h, box.cls});
      results.push_back(std::move(result));
    }
    if (done) done(static_cast<int>(next));
  }
  return results;
}

void rename_classes(std::vector<ImageResult>& results, const std::vector<std::string>& names,
                    const std::vector<std::string>& wanted) {
  std::vector<int> to;
  for (const std::string& name : names) {
    const auto found = std::find(wanted.begin(), wanted.end(), name);
    to.push_back(found == wanted.end() ? -1 : static_cast<int>(found - wanted.begin()));
  }
  for (ImageResult& result : results) {
    std::erase_if(result.detections, [&](const Detection& d) { return to[static_cast<std::size_t>(d.cls)] < 0; });
    for (Detection& d : result.detections) d.cls = to[static_cast<std::size_t>(d.cls)];
  }
}

}  // namespace rook
