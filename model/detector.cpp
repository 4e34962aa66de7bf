#include "model/detector.h"

#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"

namespace rook {
namespace {

constexpr int kFirstCapacity = 4096;  // candidates per photo before NMS; grows when a low threshold finds more
constexpr int kReturned = 256;        // detections per photo that come back without being asked for

}  // namespace

Detector::Detector(const Network& network, Params& params, const Preprocess& preprocess, const DetectorOptions& options)
    : network_(network),
      preprocess_(preprocess),
      options_(options),
      executor_(network.graph, params,
                {.backend = options.backend,
                 .compute = options.compute,
                 .training = false,
                 .keep_all = options.keep_all,
                 .profile = options.profile,
                 .conv = options.conv}),
      width_(options.width ? options.width : network.width),
      height_(options.height ? options.height : network.height),
      photo_(executor_.runtime()),
      detections_(executor_.runtime()),
      counts_(executor_.runtime()),
      workspace_(executor_.runtime()),
      found_(executor_.runtime(), 2 * static_cast<std::size_t>(options.batch)),
      best_(executor_.runtime(), static_cast<std::size_t>(options.batch) * kReturned),
      recording_(executor_.runtime(), executor_.stream()),
      photo_sizes_(static_cast<std::size_t>(options.batch)) {
  if (network.heads.empty())
    throw Error(fmt::format("{}: has no detection head ([yolo] or [region])", network.cfg.name));
  executor_.resize(options.batch, height_, width_);
  counts_.reserve(found_.bytes());
  reserve(kFirstCapacity);
}

// Room for more candidates per photo.
void Detector::reserve(int capacity) {
  capacity_ = capacity;
  detections_.reserve(static_cast<std::size_t>(options_.batch) * capacity * sizeof(Detection));
  workspace_.reserve(options_.backend->nms_workspace({.images = options_.batch, .capacity = capacity}));
  recording_.forget();
}

void Detector::set_thresholds(float threshold, NmsKind nms_kind, float nms_threshold) {
  if (options_.threshold == threshold && options_.nms_kind == nms_kind && options_.nms_threshold == nms_threshold)
    return;
  options_.threshold = threshold;
  options_.nms_kind = nms_kind;
  options_.nms_threshold = nms_threshold;
  recording_.forget();
}

void Detector::load(int slot, const io::Image& image) {
  if (image.channels != network_.channels)
    throw Error(fmt::format("the network takes {} channels, the picture has {}", network_.channels, image.channels));
  place_pixels(slot, {.pixels = image.pixels.data(),
                      .width = image.width,
                      .height = image.height,
                      .channels = image.channels,
                      .resampling = preprocess_.resampling,
                      .fit = preprocess_.fit});
  photo_sizes_[static_cast<std::size_t>(slot)] = {image.width, image.height};
}

void Detector::load_prepared(int slot, const std::uint8_t* pixels, int photo_w, int photo_h) {
  // Same size in and out: a copy that only changes the type.
  place_pixels(slot, {.pixels = pixels,
                      .width = width_,
                      .height = height_,
                      .channels = network_.channels,
                      .resampling = Resampling::half_pixel,
                      .fit = Fit::stretch});
  photo_sizes_[static_cast<std::size_t>(slot)] = {photo_w, photo_h};
}

// The pixels of `photo` lie in the host's memory.
void Detector::place_pixels(int slot, const Resize& photo) {
  Resize resize = photo;
  resize.y = executor_.input().images(slot, 1);
  if (!executor_.runtime().host_memory) {
    const std::size_t bytes = static_cast<std::size_t>(photo.width) * photo.height * photo.channels;
    photo_.reserve(bytes);
    executor_.runtime().copy(photo_.data(), photo.pixels, bytes, executor_.stream());
    resize.pixels = photo_.as<std::uint8_t>();
  }
  options_.backend->resize(resize, executor_.stream());
}

// Everything from the input to the best boxes in the host's memory.
void Detector::launch(int count) {
  const DeviceRuntime& runtime = executor_.runtime();
  const Stream stream = executor_.stream();
  const std::size_t batch = static_cast<std::size_t>(options_.batch);
  std::int32_t* const candidates = counts_.as<std::int32_t>();
  std::int32_t* const survivors = candidates + batch;
  executor_.forward();
  runtime.clear(candidates, batch * sizeof(std::int32_t), stream);
  std::int32_t first = 0;
  for (const Head& head : network_.heads) {
    const Tensor logits = executor_.output(head.source);
    options_.backend->head_decode({.head = head.spec,
                                   .logits = logits.images(0, count),
                                   .net_w = width_,
                                   .net_h = height_,
                                   .threshold = options_.threshold,
                                   .detections = detections_.as<Detection>(),
                                   .counts = candidates,
                                   .capacity = capacity_,
                                   .first_index = first,
                                   .best_class = options_.best_class},
                                  stream);
    first += logits.h * logits.w * head.spec.anchors;
  }
  runtime.copy(survivors, candidates, batch * sizeof(std::int32_t), stream);
  options_.backend->nms({.detections = detections_.as<Detection>(),
                         .counts = survivors,
                         .images = count,
                         .capacity = capacity_,
                         .kind = options_.nms_kind,
                         .threshold = options_.nms_threshold,
                         .beta = options_.nms_beta,
                         .workspace = workspace_.data()},
                        stream);
  runtime.copy(found_.data(), candidates, found_.bytes(), stream);
  const std::size_t returned = static_cast<std::size_t>(std::min(kReturned, capacity_));
  for (int i = 0; i < count; ++i)
    runtime.copy(best_.data() + static_cast<std::size_t>(i) * kReturned,
                 detections_.as<Detection>() + static_cast<std::size_t>(i) * capacity_, returned * sizeof(Detection),
                 stream);
}

std::vector<std::vector<Detection>> Detector::run(int count) {
  const auto once = [&] {
    if (count == options_.batch && !options_.profile)
      recording_.run([&] { launch(count); });
    else
      launch(count);
    executor_.runtime().synchronize(executor_.stream());
  };
  once();
  if (const int most = *std::max_element(found_.data(), found_.data() + count); most > capacity_) {
    reserve(most);
    once();
  }
  std::vector<std::vector<Detection>> results;
  for (int i = 0; i < count; ++i) {
    results.push_back(survivors(i));
    if (preprocess_.fit != Fit::letterbox) continue;
    for (Detection& box : results.back())
      undo_letterbox(box, photo_sizes_[i].first, photo_sizes_[i].second, width_, height_);
  }
  return results;
}

// Of a photo that has run: mostly they have come back with it.
std::vector<Detection> Detector::survivors(int slot) const {
  const std::int32_t count = found_[static_cast<std::size_t>(options_.batch + slot)];
  std::vector<Detection> boxes(static_cast<std::size_t>(count));
  if (count <= kReturned) {
    std::copy_n(best_.data() + static_cast<std::size_t>(slot) * kReturned, count, boxes.begin());
    return boxes;
  }
  const DeviceRuntime& runtime = executor_.runtime();
  runtime.copy(boxes.data(), detections_.as<Detection>() + static_cast<std::size_t>(slot) * capacity_,
               boxes.size() * sizeof(Detection), executor_.stream());
  runtime.synchronize(executor_.stream());
  return boxes;
}

std::vector<std::vector<Detection>> Detector::detect(std::span<const io::Image> images) {
  std::vector<std::vector<Detection>> results;
  for (std::size_t first = 0; first < images.size(); first += options_.batch) {
    const int count = static_cast<int>(std::min<std::size_t>(options_.batch, images.size() - first));
    for (int i = 0; i < count; ++i) load(i, images[first + i]);
    for (auto& boxes : run(count)) results.push_back(std::move(boxes));
  }
  return results;
}

void Detector::refresh(float* values) {
  executor_.use_values(values);
  executor_.prepare();
}

NmsKind nms_from_name(const std::string& name, const Network& network) {
  if (name == "cfg") return network.nms_kind;
  if (name == "plain") return NmsKind::plain;
  if (name == "greedy") return NmsKind::greedy;
  if (name == "diou") return NmsKind::diou;
  throw Error(fmt::format("nms '{}' is not one of cfg, plain, greedy, diou", name));
}

}  // namespace rook
