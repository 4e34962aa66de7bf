// Photos in, boxes out: preprocessing, forward, decode, NMS, box correction. Used by detect, eval, the trainer and
// reports.
#pragma once

#include <span>
#include <vector>

#include "engine/executor.h"
#include "engine/pinned.h"
#include "engine/recording.h"
#include "io/image.h"
#include "model/model.h"

namespace rook {

struct DetectorOptions {
  const Backend* backend = nullptr;
  DType compute = DType::f32;
  int batch = 1;
  int width = 0, height = 0;  // of the network's input; 0: as the cfg says
  float threshold = 0.25f;    // on the score, objectness times class; also on objectness alone, as darknet
  NmsKind nms_kind = NmsKind::plain;
  float nms_threshold = 0.45f;
  float nms_beta = 0.6f;
  bool best_class = true;  // of a box only its likeliest class; darknet keeps all above the threshold
  ConvChoice conv;
  bool keep_all = false;
  bool profile = false;
};

class Detector {
 public:
  // The model must outlive the detector.
  Detector(const Network& network, Params& params, const Preprocess& preprocess, const DetectorOptions& options);

  int batch() const { return options_.batch; }
  int width() const { return width_; }
  int height() const { return height_; }

  // From the next run on; cheap where they are what they were.
  void set_thresholds(float threshold, NmsKind nms_kind, float nms_threshold);

  // Brings a photo into place `slot` of the next batch.
  void load(int slot, const io::Image& image);
  // Puts pixels that already have the network's size there (u8 RGB), of a photo that had the given size.
  void load_prepared(int slot, const std::uint8_t* pixels, int photo_w, int photo_h);
  // Runs the first `count` places; boxes per photo, relative to it, by falling score. When more than the planned
  // candidates exceed the threshold, room is made for them.
  std::vector<std::vector<Detection>> run(int count);
  // All of it for photos in memory, in as many batches as it takes.
  std::vector<std::vector<Detection>> detect(std::span<const io::Image> images);

  Executor& executor() { return executor_; }
  // Reads the parameters again (they have changed): the model's, or another arena in the device's memory.
  void refresh(float* values = nullptr);

 private:
  void launch(int count);
  void reserve(int capacity);
  void place_pixels(int slot, const Resize& resize);
  std::vector<Detection> survivors(int slot) const;

  const Network& network_;
  Preprocess preprocess_;
  DetectorOptions options_;
  Executor executor_;
  int width_, height_;
  int capacity_ = 0;            // candidates per photo that there is room for
  Arena photo_;                 // pixels on their way to the device
  Arena detections_;            // [batch, capacity]
  Arena counts_, workspace_;    // [2][batch]: candidates, survivors
  Pinned<std::int32_t> found_;  // counts_ on the host
  Pinned<Detection> best_;      // [batch, kReturned] on the host
  Recording recording_;         // of a full batch
  std::vector<std::pair<int, int>> photo_sizes_;
};

// The NMS of the cfg's last head, or by name: cfg | plain | greedy | diou. Throws Error.
NmsKind nms_from_name(const std::string& name, const Network& network);

}  // namespace rook
