#include "model/device_photos.h"

namespace rook {
namespace {

std::size_t pixel_bytes(const CachedImage& image) {
  return static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3;
}

}  // namespace

DevicePhotos::DevicePhotos(const PhotoCache& photos, const DeviceRuntime& runtime, std::size_t reserve)
    : pixels_(runtime), list_(runtime), images_(photos.images()) {
  if (runtime.host_memory) return;
  std::vector<CachedImage> list(images_.begin(), images_.end());
  std::vector<Truth> truths;
  std::size_t bytes = 0;
  for (const CachedImage& image : list) {
    bytes += pixel_bytes(image);
    truths.insert(truths.end(), image.truths, image.truths + image.truth_count);
  }
  std::uint8_t* pixels = nullptr;
  if (const std::size_t available = runtime.free_bytes(); bytes + reserve <= available) {
    pixels_.reserve(bytes);
    pixels = pixels_.as<std::uint8_t>();
  } else {
    pixels_on_host_.emplace(runtime, bytes);
    pixels = pixels_on_host_->data();
  }
  // The list, then the truths, in one block.
  const std::size_t truths_at = arena_aligned(list.size() * sizeof(CachedImage));
  list_.reserve(truths_at + truths.size() * sizeof(Truth));
  const Truth* truth = reinterpret_cast<const Truth*>(list_.data() + truths_at);
  for (CachedImage& image : list) {
    runtime.copy(pixels, image.pixels, pixel_bytes(image), {});
    image.pixels = pixels;
    image.truths = truth;
    pixels += pixel_bytes(image);
    truth += image.truth_count;
  }
  runtime.copy(list_.data(), list.data(), list.size() * sizeof(CachedImage), {});
  runtime.copy(list_.data() + truths_at, truths.data(), truths.size() * sizeof(Truth), {});
  runtime.synchronize({});
  images_ = {list_.as<CachedImage>(), list.size()};
}

}  // namespace rook
