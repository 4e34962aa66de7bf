// The photos of a training in the memory of the device that trains: wholly where they fit; else they stay in pinned
// host memory, which the augmentation reads over the bus, each photo once per use. On the CPU they are the cache's own.
#pragma once

#include <optional>

#include "engine/arena.h"
#include "engine/pinned.h"
#include "model/train_data.h"

namespace rook {

class DevicePhotos {
 public:
  // The cache must outlive this. `reserve`: bytes of the device's memory to leave for the training itself.
  DevicePhotos(const PhotoCache& photos, const DeviceRuntime& runtime, std::size_t reserve);

  // As Augment::images takes it.
  std::span<const CachedImage> images() const { return images_; }
  bool on_device() const { return !pixels_on_host_; }

 private:
  Arena pixels_, list_;
  std::optional<Pinned<std::uint8_t>> pixels_on_host_;
  std::span<const CachedImage> images_;
};

}  // namespace rook
