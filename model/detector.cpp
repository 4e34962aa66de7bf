#include "model/detector.h"

#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"

namespace rook {
namespace {

constexpr int kFirstCapacity = 4096;  // candidates per photo before NMS; grows when a low threshold finds more

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
      capacity_(kFirstCapacity),
      detections_(static_cast<std::size_t>(options.batch) * kFirstCapacity),
      counts_(static_cast<std::size_t>(options.batch)),
      photo_sizes_(static_cast<std::size_t>(options.batch)) {
  if (network.heads.empty())
    throw Error(fmt::format("{}: has no detection head ([yolo] or [region])", network.cfg.name));
  executor_.resize(options.batch, height_, width_);
}

void Detector::load(int slot, const io::Image& image) {
  if (image.channels != network_.channels)
    throw Error(fmt::format("the network takes {} channels, the picture has {}", network_.channels, image.channels));
  options_.backend->resize({.pixels = image.pixels.data(),
                            .width = image.width,
                            .height = image.height,
                            .channels = image.channels,
                            .y = executor_.input().images(slot, 1),
                            .resampling = preprocess_.resampling,
                            .fit = preprocess_.fit},
                           {});
  photo_sizes_[static_cast<std::size_t>(slot)] = {image.width, image.height};
}

void Detector::load_prepared(int slot, const std::uint8_t* pixels, int photo_w, int photo_h) {
  // Same size in and out: a copy that only changes the type.
  options_.backend->resize({.pixels = pixels,
                            .width = width_,
                            .height = height_,
                            .channels = network_.channels,
                            .y = executor_.input().images(slot, 1),
                            .resampling = Resampling::half_pixel,
                            .fit = Fit::stretch},
                           {});
  photo_sizes_[static_cast<std::size_t>(slot)] = {photo_w, photo_h};
}

void Detector::decode(int count) {
  std::fill(counts_.begin(), counts_.end(), 0);
  std::int32_t first = 0;
  for (const Head& head : network_.heads) {
    const Tensor logits = executor_.output(head.source);
    options_.backend->head_decode({.head = head.spec,
                                   .logits = logits.images(0, count),
                                   .net_w = width_,
                                   .net_h = height_,
                                   .threshold = options_.threshold,
                                   .detections = detections_.data(),
                                   .counts = counts_.data(),
                                   .capacity = capacity_,
                                   .first_index = first,
                                   .best_class = options_.best_class},
                                  {});
    first += logits.h * logits.w * head.spec.anchors;
  }
}

std::vector<std::vector<Detection>> Detector::run(int count) {
  executor_.forward();
  decode(count);
  if (const int most = *std::max_element(counts_.begin(), counts_.end()); most > capacity_) {
    capacity_ = most;
    detections_.resize(static_cast<std::size_t>(options_.batch) * capacity_);
    decode(count);
  }
  options_.backend->nms({.detections = detections_.data(),
                         .counts = counts_.data(),
                         .images = count,
                         .capacity = capacity_,
                         .kind = options_.nms_kind,
                         .threshold = options_.nms_threshold,
                         .beta = options_.nms_beta},
                        {});
  std::vector<std::vector<Detection>> results;
  for (int i = 0; i < count; ++i) {
    const Detection* first = detections_.data() + static_cast<std::size_t>(i) * capacity_;
    results.emplace_back(first, first + counts_[i]);
    if (preprocess_.fit != Fit::letterbox) continue;
    for (Detection& box : results.back())
      undo_letterbox(box, photo_sizes_[i].first, photo_sizes_[i].second, width_, height_);
  }
  return results;
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
