// librookdetect.so: see rook_detect.h.
#include <fmt/format.h>

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "embed/rook_detect.h"
#include "io/image.h"
#include "model/conv_cache.h"
#include "model/detections.h"
#include "model/detector.h"

struct rook_detector {
  rook_detector(rook::Model opened, const rook::DetectorOptions& options)
      : model(std::move(opened)), detector(*model.network, *model.params, model.preprocess, options) {}

  rook::Model model;
  rook::Detector detector;
  std::mutex mutex;  // of the detector
};

namespace rook::embed {
namespace {

constexpr float kConfidence = 0.25f, kNmsThreshold = 0.45f;
constexpr int kLongestSide = 1 << 16, kMostInput = 8192;

thread_local std::string last_error;  // NOLINT: a message that cannot be kept is lost

// `failed` where `work` throws, and its message kept for this thread.
template <class Result, class Work>
Result guarded(Result failed, Work&& work) noexcept {
  try {
    try {
      return work();
    } catch (const std::bad_alloc&) {
      last_error = "there is not enough memory";
    } catch (const std::exception& error) {
      last_error = error.what();
    } catch (...) {
      last_error = "failed, and does not say why";
    }
  } catch (...) {
    last_error.clear();  // no memory for the message
  }
  return failed;
}

// A forked child has the memory of OpenMP's threads, but not the threads: it would wait for them for ever.
void check_process() {
  static std::atomic<pid_t> first = 0;
  pid_t none = 0;
  if (first.compare_exchange_strong(none, getpid()) || none == getpid() || omp_get_max_threads() == 1) return;
  throw Error(
      "this process was forked from one that has opened a detector: open detectors in the children alone, start them "
      "anew (spawn), or set OMP_NUM_THREADS=1");
}

const char* or_default(const char* text, const char* otherwise) {
  return text && *text ? text : otherwise;
}

float fraction(float value, float otherwise, const char* name) {
  if (value == 0) return otherwise;
  if (!(value > 0 && value <= 1)) throw Error(fmt::format("{}: {} is not between 0 and 1", name, value));
  return value;
}

DetectorOptions detector_options(const rook_detector_options& o) {
  const Backend& backend = find_backend(or_default(o.device, "auto"));
  if (o.size < 0 || o.size > kMostInput || o.size % 32 != 0)
    throw Error(fmt::format("size: {} is not a multiple of 32 up to {}", o.size, kMostInput));
  return {.backend = &backend,
          .compute = compute_dtype(or_default(o.precision, "auto"), backend, false),
          .width = o.size,
          .height = o.size,
          .threshold = fraction(o.confidence, kConfidence, "confidence"),
          .nms_threshold = fraction(o.nms_threshold, kNmsThreshold, "nms_threshold"),
          .conv = {"", load_conv_cache(chosen_conv_cache(), conv_cache_key(backend)).tuned}};
}

// How a pixel lies in memory: bytes from one to the next, and where of them red, green and blue are.
struct Layout {
  int bytes, red, green, blue;
};
Layout layout_of(rook_pixels order) {
  switch (order) {
    case ROOK_RGB:
      return {3, 0, 1, 2};
    case ROOK_BGR:
      return {3, 2, 1, 0};
    case ROOK_RGBA:
      return {4, 0, 1, 2};
    case ROOK_BGRA:
      return {4, 2, 1, 0};
    case ROOK_GREY:
      return {1, 0, 0, 0};
    default:
      throw Error(fmt::format("order: {} is not one of ROOK_RGB, ROOK_BGR, ROOK_RGBA, ROOK_BGRA, ROOK_GREY", order));
  }
}

// As read_image makes pictures of files: grey for a network of one channel (stb_image's weights), else RGB.
io::Image to_image(const std::uint8_t* pixels, int width, int height, std::int64_t stride, const Layout& layout,
                   int channels) {
  io::Image image{.width = width, .height = height, .channels = channels};
  image.pixels.reserve(static_cast<std::size_t>(width) * height * channels);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::uint8_t* const p = pixels + y * stride + std::int64_t{x} * layout.bytes;
      const std::uint8_t r = p[layout.red], g = p[layout.green], b = p[layout.blue];
      if (channels == 1)
        image.pixels.push_back(static_cast<std::uint8_t>((r * 77 + g * 150 + b * 29) >> 8));
      else
        image.pixels.insert(image.pixels.end(), {r, g, b});
    }
  return image;
}

int channels_of(const rook_detector& detector) {
  return detector.model.network->channels;
}

void check_place(const rook_box* boxes, int32_t capacity) {
  if (capacity < 0 || (capacity > 0 && !boxes))
    throw Error(fmt::format("capacity: {} boxes, and {} to put them", capacity, boxes ? "a place" : "no place"));
}

int32_t detect(rook_detector& detector, const io::Image& image, rook_box* boxes, int32_t capacity) {
  check_process();
  const std::lock_guard lock(detector.mutex);
  const std::vector<Detection> found = std::move(detector.detector.detect(std::span(&image, 1)).front());
  const std::size_t count = std::min(found.size(), static_cast<std::size_t>(capacity));
  for (std::size_t i = 0; i < count; ++i) {
    const PixelBox box = to_pixels(found[i], image.width, image.height);
    boxes[i] = {box.left, box.top, box.width, box.height, found[i].score, found[i].cls};
  }
  return static_cast<int32_t>(found.size());
}

}  // namespace
}  // namespace rook::embed

using namespace rook;
using namespace rook::embed;

int32_t rook_detect_abi() {
  return ROOK_DETECT_ABI;
}

const char* rook_detector_error() {
  return last_error.c_str();
}

rook_detector* rook_detector_open(const char* model, const rook_detector_options* options) {
  return guarded(static_cast<rook_detector*>(nullptr), [&] {
    check_process();
    if (!model) throw Error("model: null");
    const rook_detector_options o = options ? *options : rook_detector_options{};
    const DetectorOptions chosen = detector_options(o);  // what cannot be is said before a file is read
    return new rook_detector(load_model(model, {.names_file = or_default(o.names, "")}), chosen);
  });
}

void rook_detector_close(rook_detector* detector) {
  delete detector;
}

int32_t rook_detector_file(rook_detector* detector, const char* file, rook_box* boxes, int32_t capacity) {
  return guarded(-1, [&] {
    if (!detector || !file) throw Error(detector ? "file: null" : "detector: null");
    check_place(boxes, capacity);
    return detect(*detector, io::read_image(file, channels_of(*detector)), boxes, capacity);
  });
}

int32_t rook_detector_encoded(rook_detector* detector, const void* bytes, int64_t count, rook_box* boxes,
                              int32_t capacity) {
  return guarded(-1, [&] {
    if (!detector || !bytes || count < 0) throw Error(detector ? "bytes: null, or fewer than none" : "detector: null");
    check_place(boxes, capacity);
    const std::span data(static_cast<const std::uint8_t*>(bytes), static_cast<std::size_t>(count));
    return detect(*detector, io::decode_image(data, "picture", channels_of(*detector)), boxes, capacity);
  });
}

int32_t rook_detector_pixels(rook_detector* detector, const void* pixels, int32_t width, int32_t height, int64_t stride,
                             rook_pixels order, rook_box* boxes, int32_t capacity) {
  return guarded(-1, [&] {
    if (!detector || !pixels) throw Error(detector ? "pixels: null" : "detector: null");
    check_place(boxes, capacity);
    const Layout layout = layout_of(order);
    if (width < 1 || height < 1 || width > kLongestSide || height > kLongestSide)
      throw Error(
          fmt::format("a picture of {}x{} pixels: each side must be from 1 to {}", width, height, kLongestSide));
    const std::int64_t row = std::int64_t{width} * layout.bytes;
    if (stride != 0 && stride < row) throw Error(fmt::format("stride: {} bytes, but a row has {}", stride, row));
    const auto* const bytes = static_cast<const std::uint8_t*>(pixels);
    return detect(*detector, to_image(bytes, width, height, stride ? stride : row, layout, channels_of(*detector)),
                  boxes, capacity);
  });
}

int32_t rook_detector_classes(const rook_detector* detector) {
  return detector ? static_cast<int32_t>(detector->model.names.size()) : 0;
}

const char* rook_detector_class(const rook_detector* detector, int32_t class_id) {
  if (class_id < 0 || class_id >= rook_detector_classes(detector)) return nullptr;
  return detector->model.names[static_cast<std::size_t>(class_id)].c_str();
}

void rook_detector_input(const rook_detector* detector, int32_t* width, int32_t* height) {
  if (width) *width = detector ? detector->detector.width() : 0;
  if (height) *height = detector ? detector->detector.height() : 0;
}
