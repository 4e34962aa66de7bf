#include "model/augmented.h"

#include <algorithm>
#include <cmath>

namespace rook {
namespace {

// One update's inputs, as f32 in 0..1.
class Drawing {
 public:
  Drawing(const PhotoCache& photos, const TrainConfig& config) : photos_(photos), config_(config) {
    const CachedImage& first = photos.images().front();
    pixels_.resize(static_cast<std::size_t>(config.batch) * first.height * first.width * 3);
    truths_.resize(static_cast<std::size_t>(config.batch) * config.max_truths);
    counts_.resize(static_cast<std::size_t>(config.batch));
    y_ = make_tensor(pixels_.data(), DType::f32, config.batch, first.height, first.width, 3);
  }

  void draw(std::int64_t iteration, const std::vector<std::int32_t>& order) {
    TrainConfig whole = config_;  // subdivisions draw what one pass would
    whole.subdivisions = 1;
    Augment args = augmentation_of(whole, 0, has_mosaics(config_, iteration));
    args.images = photos_.images();
    args.order = order;
    args.iteration = static_cast<std::uint32_t>(iteration);
    args.y = y_;
    args.truths = truths_.data();
    args.truth_counts = counts_.data();
    cpu::augment(args);
  }

  AugmentedInput input(int output) const {
    const std::size_t size = static_cast<std::size_t>(y_.h) * y_.w * 3;
    AugmentedInput result{.picture = {.width = y_.w, .height = y_.h}};
    const float* from = pixels_.data() + static_cast<std::size_t>(output) * size;
    for (std::size_t i = 0; i < size; ++i)
      result.picture.pixels.push_back(static_cast<std::uint8_t>(std::lround(std::clamp(from[i], 0.0f, 1.0f) * 255)));
    const Truth* truths = truths_.data() + static_cast<std::ptrdiff_t>(output) * config_.max_truths;
    result.truths.assign(truths, truths + counts_[static_cast<std::size_t>(output)]);
    return result;
  }

 private:
  const PhotoCache& photos_;
  const TrainConfig& config_;
  std::vector<float> pixels_;
  std::vector<Truth> truths_;
  std::vector<std::int32_t> counts_;
  Tensor y_;
};

}  // namespace

Augment augmentation_of(const TrainConfig& config, int part, bool mosaic) {
  AugmentSpec spec = config.augment;
  if (!mosaic) spec.mosaic = 0;
  return {.spec = spec,
          .seed = config.seed,
          .first_slot = static_cast<std::uint32_t>(part * (config.batch / config.subdivisions)),
          .max_truths = config.max_truths,
          .order_stride = config.batch};
}

bool has_mosaics(const TrainConfig& config, std::int64_t iteration) {
  return static_cast<double>(iteration) < config.mosaic_until * static_cast<double>(config.schedule.iterations);
}

std::vector<AugmentedInput> first_inputs(const PhotoCache& photos, const TrainConfig& config, int count) {
  Drawing drawing(photos, config);
  EpochOrder order(photos.size(), config.seed);
  std::vector<AugmentedInput> inputs;
  for (std::int64_t iteration = 0; static_cast<int>(inputs.size()) < count; ++iteration) {
    std::vector<std::int32_t> chosen;
    for (int i = 0; i < config.batch; ++i) chosen.push_back(order.at(iteration * config.batch + i));
    drawing.draw(iteration, chosen);
    for (int i = 0; i < config.batch && static_cast<int>(inputs.size()) < count; ++i) {
      inputs.push_back(drawing.input(i));
      inputs.back().iteration = iteration;
      inputs.back().photo = photos.name(chosen[static_cast<std::size_t>(i)]);
    }
  }
  return inputs;
}

}  // namespace rook
