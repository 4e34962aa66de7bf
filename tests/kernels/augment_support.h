// What the tests of augment share: photos that own their pixels, and a batch that owns its outputs between guards.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "tests/mapped.h"
#include "tests/support.h"

namespace rook::test {

using AugmentFunction = void (*)(const Augment&, Stream);
inline constexpr AugmentFunction kAugmentCpuAndRef[] = {cpu::augment, ref::augment};

struct AugmentPhoto {
  int width, height;
  Mapped<std::uint8_t> pixels;
  Mapped<Truth> truths;

  CachedImage view() const { return {pixels.data(), width, height, truths.data(), static_cast<int>(truths.size())}; }
};

inline AugmentPhoto random_photo(Random& random, int width, int height, int truths) {
  AugmentPhoto photo{width, height, Mapped<std::uint8_t>(static_cast<std::size_t>(width) * height * 3), {}};
  for (auto& value : photo.pixels) value = static_cast<std::uint8_t>(random.below(256));
  for (int t = 0; t < truths; ++t) {
    const double w = random.uniform(0.02, 0.6), h = random.uniform(0.02, 0.6);
    const double x = random.uniform(w / 2, 1 - w / 2), y = random.uniform(h / 2, 1 - h / 2);
    photo.truths.push_back(
        {static_cast<float>(x), static_cast<float>(y), static_cast<float>(w), static_cast<float>(h), t});
  }
  return photo;
}

// Arguments, and outputs with room for `max_truths` truths per image between sentinels.
class AugmentBatch {
 public:
  AugmentBatch(const std::vector<AugmentPhoto>& photos, const std::vector<std::int32_t>& order, DType dtype, int height,
               int width, int max_truths, int after = 0)
      : y(dtype, static_cast<int>(order.size()), height, width, 3, 0, after),
        order_(order.begin(), order.end()),
        truths_(order_.size() * static_cast<std::size_t>(max_truths) + 2, kSentinel),
        counts_(static_cast<std::int64_t>(order_.size())) {
    for (const AugmentPhoto& photo : photos) images_.push_back(photo.view());
    args = {.images = images_,
            .order = order_,
            .spec = {},
            .y = y,
            .truths = truths_.data() + 1,
            .truth_counts = counts_.data(),
            .max_truths = max_truths};
  }
  AugmentBatch(const AugmentBatch&) = delete;
  AugmentBatch& operator=(const AugmentBatch&) = delete;

  Mapped<Truth> truths(int output) const {
    const Truth* first = args.truths + std::int64_t{output} * args.max_truths;
    return {first, first + counts_[output]};
  }
  void run(AugmentFunction function) {
    run([&](const Augment& given) { function(given, {}); });
  }
  void run(const std::function<void(const Augment&)>& function) {
    function(args);
    CHECK(y.guards_intact());
    CHECK(counts_.guards_intact());
    for (const Truth& sentinel : {truths_.front(), truths_.back()}) CHECK(sentinel.cls == kSentinel.cls);
    for (std::int64_t i = 0; i < counts_.size(); ++i) REQUIRE((counts_[i] >= 0 && counts_[i] <= args.max_truths));
  }

  TestTensor y;
  Augment args;

 private:
  static constexpr Truth kSentinel{-7, -7, -7, -7, -7};
  Mapped<std::int32_t> order_;
  Mapped<CachedImage> images_;
  Mapped<Truth> truths_;
  TestArray<std::int32_t> counts_;
};

inline void check_same_truths(const AugmentBatch& a, const AugmentBatch& b, double tolerance) {
  for (int i = 0; i < a.y.view().n; ++i) {
    const Mapped<Truth> left = a.truths(i), right = b.truths(i);
    REQUIRE(left.size() == right.size());
    for (std::size_t t = 0; t < left.size(); ++t) {
      const Truth &l = left[t], &r = right[t];
      const double worst =
          std::max({std::abs(l.x - r.x), std::abs(l.y - r.y), std::abs(l.w - r.w), std::abs(l.h - r.h)});
      CHECK(worst <= tolerance);
      CHECK(l.cls == r.cls);
    }
  }
}

inline constexpr AugmentSpec kNothing{.flip = 0};
inline constexpr AugmentSpec kGentle{.scale = 0.2f,
                                     .aspect = 0.08f,
                                     .shift = 0.12f,
                                     .hue = 0.015f,
                                     .saturation = 1.5f,
                                     .exposure = 1.4f,
                                     .mosaic = 0.5f};
inline constexpr AugmentSpec kDarknet{.jitter = 0.3f,
                                      .resize = 1.5f,
                                      .hue = 0.1f,
                                      .saturation = 1.5f,
                                      .exposure = 1.5f,
                                      .mosaic = 0.5f,
                                      .mosaic_bound = false,
                                      .min_visible = 0};
inline constexpr AugmentSpec kEverything{.jitter = 0.2f,
                                         .resize = 0.7f,
                                         .scale = 0.5f,
                                         .aspect = 0.4f,
                                         .shift = 0.3f,
                                         .hue = 1,
                                         .saturation = 3,
                                         .exposure = 3,
                                         .mosaic = 0.7f};

}  // namespace rook::test
