// The photos of a training in the memory of the device that trains: all of them where they fit; else those of each step
// are brought there before it, through two buffers of pinned host memory in turn, so that the host fills one while the
// device still takes the other. On the CPU they are the cache's own.
#pragma once

#include <optional>
#include <vector>

#include "engine/arena.h"
#include "engine/pinned.h"
#include "model/train_data.h"

namespace rook {

class DevicePhotos {
 public:
  // The cache must outlive this. `reserve`: bytes of the device's memory to leave for the training itself. `at_once`:
  // how many photos a step reads at most.
  DevicePhotos(const PhotoCache& photos, const DeviceRuntime& runtime, std::size_t reserve, std::size_t at_once);
  ~DevicePhotos();
  DevicePhotos(const DevicePhotos&) = delete;
  DevicePhotos& operator=(const DevicePhotos&) = delete;

  // As Augment::images takes it: always at the same address.
  std::span<const CachedImage> images() const { return images_; }
  // Whether every photo is there for good. Where not, a step's must be brought before it.
  bool resident() const { return !window_; }
  // Photos by their numbers, in any order, some perhaps twice: there for what follows on the stream, until the next
  // call.
  void bring(std::span<const std::int32_t> photos, Stream stream);

 private:
  // What is brought to the device in one copy: the list, then the photos.
  struct Buffer {
    Pinned<std::byte> bytes;
    Event taken;  // by the device
    bool used = false;
  };

  void upload_truths(std::vector<CachedImage>& list);
  void upload_all(std::vector<CachedImage> list, std::size_t bytes);
  void open_window(std::vector<CachedImage> list, std::size_t at_once);

  const DeviceRuntime& runtime_;
  Arena pixels_, truths_, list_;
  std::optional<Arena> window_;         // list and photos of one step
  std::vector<CachedImage> host_list_;  // pixels of the host, truths of the device
  std::vector<Buffer> buffers_;
  std::size_t next_ = 0;
  std::span<const CachedImage> images_;
};

}  // namespace rook
