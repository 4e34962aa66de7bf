// Photos of a split, decoded once and kept as u8 at training size, with their truths.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "kernels/ops.h"
#include "model/preprocess.h"

namespace rook {

class PhotoCache {
 public:
  // Decodes and resizes on all cores. Throws Error naming the first photo that cannot be read and the number of them.
  // `progress` is told how many are done (from one thread at a time).
  PhotoCache(const io::Split& split, int width, int height, const Preprocess& preprocess,
             const std::function<void(int done, int all)>& progress = {});

  // Noise with boxes at random, for timing (no files).
  static PhotoCache synthetic(int count, int width, int height, int classes);

  int size() const { return static_cast<int>(images_.size()); }
  const std::vector<CachedImage>& images() const { return images_; }  // truths relative to the resized picture
  const std::string& name(int index) const { return names_[static_cast<std::size_t>(index)]; }
  std::pair<int, int> photo_size(int index) const {
    return photo_sizes_[static_cast<std::size_t>(index)];
  }  // width, height
  const std::vector<Truth>& truths(int index) const {
    return original_truths_[static_cast<std::size_t>(index)];
  }  // relative to the photo
  const std::vector<io::IgnoredRegion>& ignored(int index) const {
    return ignored_[static_cast<std::size_t>(index)];
  }  // relative to the photo
  const std::string& file(int index) const { return files_[static_cast<std::size_t>(index)]; }

 private:
  PhotoCache() = default;
  void reserve(std::size_t count, int width, int height);

  std::vector<std::uint8_t> pixels_;
  std::vector<CachedImage> images_;
  std::vector<std::vector<Truth>> truths_, original_truths_;
  std::vector<std::string> names_, files_;
  std::vector<std::pair<int, int>> photo_sizes_;
  std::vector<std::vector<io::IgnoredRegion>> ignored_;
};

// The order of photos: each epoch a new permutation, a pure function of seed and epoch, so that any position of a
// training can be entered directly.
class EpochOrder {
 public:
  EpochOrder(int photos, std::uint64_t seed) : photos_(photos), seed_(seed) {}
  // The photo at position `sample` counted from the start of the training.
  std::int32_t at(std::int64_t sample);

 private:
  int photos_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::int32_t> order_;
};

}  // namespace rook
