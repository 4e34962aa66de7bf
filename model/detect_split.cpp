#include "model/detect_split.h"

#include <algorithm>

#include "base/error.h"
#include "io/image.h"

namespace rook {

std::vector<ImageResult> detect_split(Detector& detector, const io::Split& split, int channels,
                                      const std::atomic<bool>* stop, const std::function<void(int)>& done) {
  std::vector<ImageResult> results;
  for (std::size_t first = 0; first < split.images.size(); first += static_cast<std::size_t>(detector.batch())) {
    if (stop && *stop) throw Error("interrupted");
    const std::size_t count = std::min(static_cast<std::size_t>(detector.batch()), split.images.size() - first);
    std::vector<io::Image> photos;
    for (std::size_t i = 0; i < count; ++i) photos.push_back(io::read_image(split.images[first + i].file, channels));
    auto boxes = detector.detect(photos);
    for (std::size_t i = 0; i < count; ++i) {
      const io::LabelledImage& image = split.images[first + i];
      ImageResult result{.name = image.name,
                         .width = photos[i].width,
                         .height = photos[i].height,
                         .detections = std::move(boxes[i]),
                         .truths = {},
                         .ignored = image.ignored};
      for (const io::LabelBox& box : image.boxes) result.truths.push_back({box.x, box.y, box.w, box.h, box.cls});
      results.push_back(std::move(result));
    }
    if (done) done(static_cast<int>(results.size()));
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
