#include "model/device_photos.h"

#include <algorithm>
#include <cstring>

namespace rook {
namespace {

std::size_t pixel_bytes(const CachedImage& image) {
  return static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3;
}

std::size_t list_bytes(const std::vector<CachedImage>& list) {
  return arena_aligned(list.size() * sizeof(CachedImage));
}

}  // namespace

DevicePhotos::DevicePhotos(const PhotoCache& photos, const DeviceRuntime& runtime, std::size_t reserve,
                           std::size_t at_once)
    : runtime_(runtime), pixels_(runtime), truths_(runtime), list_(runtime), images_(photos.images()) {
  if (runtime.host_memory) return;
  std::vector<CachedImage> list(images_.begin(), images_.end());
  upload_truths(list);
  std::size_t bytes = 0;
  for (const CachedImage& image : list) bytes += pixel_bytes(image);
  if (bytes + reserve <= runtime.free_bytes()) {
    upload_all(std::move(list), bytes);
  } else {
    open_window(std::move(list), at_once);
  }
}

DevicePhotos::~DevicePhotos() {
  for (const Buffer& buffer : buffers_) runtime_.destroy_event(buffer.taken);
}

// The truths of all photos are always there: they are small.
void DevicePhotos::upload_truths(std::vector<CachedImage>& list) {
  std::vector<Truth> truths;
  for (const CachedImage& image : list) truths.insert(truths.end(), image.truths, image.truths + image.truth_count);
  truths_.reserve(truths.size() * sizeof(Truth));
  const Truth* truth = truths_.as<Truth>();
  for (CachedImage& image : list) {
    image.truths = truth;
    truth += image.truth_count;
  }
  runtime_.copy(truths_.data(), truths.data(), truths.size() * sizeof(Truth), {});
  runtime_.synchronize({});
}

void DevicePhotos::upload_all(std::vector<CachedImage> list, std::size_t bytes) {
  pixels_.reserve(bytes);
  list_.reserve(list_bytes(list));
  std::uint8_t* pixels = pixels_.as<std::uint8_t>();
  for (CachedImage& image : list) {
    runtime_.copy(pixels, image.pixels, pixel_bytes(image), {});
    image.pixels = pixels;
    pixels += pixel_bytes(image);
  }
  runtime_.copy(list_.data(), list.data(), list.size() * sizeof(CachedImage), {});
  runtime_.synchronize({});
  images_ = {list_.as<CachedImage>(), list.size()};
}

void DevicePhotos::open_window(std::vector<CachedImage> list, std::size_t at_once) {
  std::size_t largest = 0;
  for (const CachedImage& image : list) largest = std::max(largest, pixel_bytes(image));
  const std::size_t bytes = list_bytes(list) + std::min(at_once, list.size()) * largest;
  window_.emplace(runtime_).reserve(bytes);
  for (int i = 0; i < 2; ++i) buffers_.push_back({.bytes = {runtime_, bytes}, .taken = runtime_.create_event()});
  images_ = {window_->as<CachedImage>(), list.size()};
  host_list_ = std::move(list);
}

void DevicePhotos::bring(std::span<const std::int32_t> photos, Stream stream) {
  if (resident()) return;
  Buffer& buffer = buffers_[next_++ % buffers_.size()];
  if (buffer.used) runtime_.wait(buffer.taken);
  std::byte* const staged = buffer.bytes.data();
  std::memcpy(staged, host_list_.data(), host_list_.size() * sizeof(CachedImage));
  const std::span<CachedImage> list(reinterpret_cast<CachedImage*>(staged), host_list_.size());
  for (CachedImage& image : list) image.pixels = nullptr;
  std::size_t at = list_bytes(host_list_);
  for (const std::int32_t photo : photos) {
    const auto i = static_cast<std::size_t>(photo);
    if (list[i].pixels) continue;
    list[i].pixels = window_->as<std::uint8_t>() + at;
    std::memcpy(staged + at, host_list_[i].pixels, pixel_bytes(list[i]));
    at += pixel_bytes(list[i]);
  }
  runtime_.copy(window_->data(), staged, at, stream);
  runtime_.record(buffer.taken, stream);
  buffer.used = true;
}

}  // namespace rook
