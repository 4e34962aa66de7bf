// The inputs that people look at are those that the network learns from.
#include "model/augmented.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/model/trainer_support.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("augmented inputs: those of the steps themselves, mosaics until they end, whatever the subdivisions") {
  TrainConfig config = plain_config();
  config.batch = 4;
  config.subdivisions = 2;
  config.epochs = 2;
  config.augment = {.scale = 0.3f, .shift = 0.2f, .hue = 0.1f, .exposure = 1.5f, .mosaic = 0.7f};
  config.mosaic_until = 0.5f;
  config.seed = 9;
  TinyTraining training(config);
  config.width = config.height = 64;
  config.schedule.iterations = 4;
  const std::vector<AugmentedInput> inputs = first_inputs(training.photos, config, 15);
  REQUIRE(inputs.size() == 15);
  TrainStep step(training.model, config, training.photos, cpu_backend(), {});
  bool several = false;  // photos on one picture
  for (int update = 0; update < 3; ++update) {
    const auto order = step.photos_of(update);
    step.enqueue(64, 64);
    step.collect();
    const Tensor seen = step.executor().input();  // of the update's second half
    REQUIRE((seen.n == 2 && seen.c == 3 && seen.dtype == DType::f32));
    for (int i = 0; i < 2; ++i) {
      const AugmentedInput& input = inputs[static_cast<std::size_t>(update * 4 + 2 + i)];
      CHECK(input.iteration == update);
      CHECK(input.photo == training.photos.name(order[static_cast<std::size_t>(2 + i)]));
      REQUIRE((input.picture.width == 64 && input.picture.height == 64));
      int different = 0;
      for (int p = 0; p < 64 * 64; ++p)
        for (int c = 0; c < 3; ++c) {
          const float value = seen.as<const float>()[(static_cast<std::int64_t>(i) * 64 * 64 + p) * seen.pitch + c];
          different += std::lround(value * 255) != input.picture.pixels[static_cast<std::size_t>(p) * 3 + c];
        }
      CHECK(different == 0);
      several = several || input.truths.size() > 3;  // a photo has three at most
      for (const Truth& truth : input.truths) {
        CHECK(truth.x - truth.w / 2 > -1e-5f);
        CHECK(truth.x + truth.w / 2 < 1 + 1e-5f);
      }
    }
  }
  CHECK(several);
  CHECK((has_mosaics(config, 1) && !has_mosaics(config, 2)));
}
