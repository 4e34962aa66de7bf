#include "model/train_data.h"

#include <fmt/format.h>
#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "io/image.h"
#include "kernels/philox.h"

namespace rook {
namespace {

// Reading the data set has left out what is missing, cut off or no picture: this is damage within the pixel data.
void rethrow_first(const std::vector<std::exception_ptr>& failures) {
  const auto failed = [](const std::exception_ptr& failure) { return failure != nullptr; };
  const auto first = std::find_if(failures.begin(), failures.end(), failed);
  if (first == failures.end()) return;
  try {
    std::rethrow_exception(*first);
  } catch (const Error& error) {
    throw Error(
        fmt::format("{} ({} of {} photos cannot be used; `rook data check --decode` lists all: mend them or take "
                    "them out)",
                    error.what(), std::count_if(failures.begin(), failures.end(), failed), failures.size()));
  }
}

}  // namespace

PhotoCache::PhotoCache(const io::Split& split, int width, int height, const Preprocess& preprocess,
                       const std::function<void(int, int)>& progress) {
  const std::size_t count = split.images.size(), bytes = static_cast<std::size_t>(width) * height * 3;
  if (count == 0) throw Error(fmt::format("split '{}' has no photos", split.name));
  reserve(count, width, height);
  for (const io::LabelledImage& image : split.images) {
    names_.push_back(image.name);
    files_.push_back(image.file.string());
    ignored_.push_back(image.ignored);
  }
  std::vector<std::exception_ptr> failures(count);
  int done = 0;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < count; ++i) {
    try {
      const io::Image photo = io::read_image(split.images[i].file);
      std::uint8_t* to = pixels_.data() + i * bytes;
      cpu::resize({.pixels = photo.pixels.data(),
                   .width = photo.width,
                   .height = photo.height,
                   .channels = 3,
                   .y = make_tensor(to, DType::u8, 1, height, width, 3),
                   .resampling = preprocess.resampling,
                   .fit = preprocess.fit});
      photo_sizes_[i] = {photo.width, photo.height};
      for (const io::LabelBox& box : split.images[i].boxes) {
        const Truth truth{box.x, box.y, box.w, box.h, box.cls};
        original_truths_[i].push_back(truth);
        truths_[i].push_back(
            preprocess.fit == Fit::letterbox ? letterboxed(truth, photo.width, photo.height, width, height) : truth);
      }
      images_[i] = {.pixels = to,
                    .width = width,
                    .height = height,
                    .truths = truths_[i].data(),
                    .truth_count = static_cast<int>(truths_[i].size())};
    } catch (...) {
      failures[i] = std::current_exception();
    }
#pragma omp critical
    if (progress) progress(++done, static_cast<int>(count));
  }
  rethrow_first(failures);
}

void PhotoCache::reserve(std::size_t count, int width, int height) {
  pixels_.resize(count * static_cast<std::size_t>(width) * height * 3);
  images_.resize(count);
  truths_.resize(count);
  original_truths_.resize(count);
  photo_sizes_.resize(count);
}

PhotoCache PhotoCache::synthetic(int count, int width, int height, int classes) {
  PhotoCache cache;
  cache.reserve(static_cast<std::size_t>(count), width, height);
  for (std::size_t i = 0; i < cache.pixels_.size(); ++i)
    cache.pixels_[i] =
        static_cast<std::uint8_t>(philox(philox_key(1), {.slot = static_cast<std::uint32_t>(i)}).x >> 24);
  constexpr int kBoxes = 10;
  for (int i = 0; i < count; ++i) {
    for (int box = 0; box < kBoxes; ++box) {
      const Uniform4 u = philox_uniform(
          philox(philox_key(2), {.slot = static_cast<std::uint32_t>(i), .draw = static_cast<std::uint32_t>(box)}));
      cache.truths_[i].push_back(
          {0.1f + 0.8f * u.x, 0.1f + 0.8f * u.y, 0.03f + 0.1f * u.z, 0.05f + 0.15f * u.w, (i + box) % classes});
    }
    cache.original_truths_[i] = cache.truths_[i];
    cache.names_.push_back(fmt::format("synthetic-{}", i));
    cache.files_.push_back(cache.names_.back());
    cache.ignored_.emplace_back();
    cache.photo_sizes_[i] = {width, height};
    cache.images_[i] = {.pixels = cache.pixels_.data() + static_cast<std::size_t>(i) * width * height * 3,
                        .width = width,
                        .height = height,
                        .truths = cache.truths_[i].data(),
                        .truth_count = kBoxes};
  }
  return cache;
}

std::int32_t EpochOrder::at(std::int64_t sample) {
  const std::int64_t epoch = sample / photos_;
  if (epoch != epoch_) {
    order_.resize(static_cast<std::size_t>(photos_));
    std::iota(order_.begin(), order_.end(), 0);
    for (int i = photos_ - 1; i > 0; --i) {  // Fisher-Yates
      const auto block = philox(philox_key(seed_), {.slot = static_cast<std::uint32_t>(i),
                                                    .iteration = static_cast<std::uint32_t>(epoch),
                                                    .stream = philox_stream(PhiloxUse::shuffle)});
      std::swap(order_[i], order_[philox_below(block.x, static_cast<std::uint32_t>(i) + 1)]);
    }
    epoch_ = epoch;
  }
  return order_[static_cast<std::size_t>(sample % photos_)];
}

}  // namespace rook
