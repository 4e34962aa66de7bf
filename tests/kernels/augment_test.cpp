// augment: pixels exact where nothing is changed, cpu against ref, colour, and the same bits in every circumstance.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/augment_plan.h"
#include "kernels/ops.h"
#include "tests/kernels/augment_cases.h"
#include "tests/support.h"

namespace rook {
namespace {

using test::kAugmentCpuAndRef;
using test::Random;
using test::TestTensor;
using Photo = test::AugmentPhoto;
using Batch = test::AugmentBatch;
using test::check_same_truths;
using test::kGentle;
using test::kNothing;
using test::random_photo;

// darknet.md 8.4 by the chroma and the second largest component, for comparison with the other two ways.
void recolour(double rgb[3], double turn, double saturation, double exposure) {
  const double high = std::max({rgb[0], rgb[1], rgb[2]}), low = std::min({rgb[0], rgb[1], rgb[2]});
  double degrees = 0;
  if (high > low) {
    // atan2 of the hexagon's sector: exact within each 60 degree sector because the hue is linear there.
    const double chroma = high - low;
    if (high == rgb[0])
      degrees = 60 * (rgb[1] - rgb[2]) / chroma;
    else if (high == rgb[1])
      degrees = 120 + 60 * (rgb[2] - rgb[0]) / chroma;
    else
      degrees = 240 + 60 * (rgb[0] - rgb[1]) / chroma;
  }
  degrees = std::fmod(degrees + 360 * turn + 720, 360);
  const double value = high * exposure, chroma = (high - low) * exposure * saturation;
  const double second = chroma * (1 - std::abs(std::fmod(degrees / 60, 2) - 1));
  const double table[6][3] = {{chroma, second, 0}, {second, chroma, 0}, {0, chroma, second},
                              {0, second, chroma}, {second, 0, chroma}, {chroma, 0, second}};
  for (int c = 0; c < 3; ++c) {
    rgb[c] = std::clamp(value - chroma + table[std::min(5, static_cast<int>(degrees / 60))][c], 0.0, 1.0);
  }
}

}  // namespace

TEST_CASE("augment: nothing to change gives the photo back") {
  Random random(1);
  const std::vector<Photo> photos = {random_photo(random, 31, 17, 5), random_photo(random, 31, 17, 0)};
  for (const test::AugmentFunction augment : kAugmentCpuAndRef) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Batch batch(photos, {0, 1, 0}, dtype, 17, 31, 5, 2);
      batch.args.spec = kNothing;
      batch.args.spec.min_visible = 1 - 1e-5f;
      batch.run(augment);
      for (int n = 0; n < 3; ++n) {
        const Photo& photo = photos[n == 1];
        for (std::int64_t i = 0; i < 17 * 31 * 3; ++i) {
          const float exact = static_cast<float>(photo.pixels[static_cast<std::size_t>(i)]) / 255.0f;
          const float expected = dtype == DType::f32 ? exact : bf16_to_float(float_to_bf16(exact));
          CHECK(static_cast<float>(batch.y.get(n * 17 * 31 * 3 + i)) == expected);
        }
        const test::Mapped<Truth> truths = batch.truths(n);
        test::Mapped<Truth> expected = photo.truths;
        std::erase_if(expected, [](const Truth& truth) { return truth.w * 31 < 1 || truth.h * 17 < 1; });
        REQUIRE(truths.size() == expected.size());
        for (std::size_t t = 0; t < truths.size(); ++t) {
          CHECK(std::abs(truths[t].x - expected[t].x) <= 1e-7);
          CHECK(std::abs(truths[t].h - expected[t].h) <= 1e-7);
          CHECK(truths[t].cls == expected[t].cls);
        }
      }
    }
  }
}

TEST_CASE("augment: a flip mirrors pixels and truths, two flips nothing") {
  Random random(2);
  std::vector<Photo> photos = {random_photo(random, 23, 11, 0)};
  photos[0].truths = {{0.2f, 0.3f, 0.3f, 0.2f, 5}, {0.5f, 0.5f, 1, 1, 6}, {0.83f, 0.6f, 0.1f, 0.7f, 7}};
  const Photo original = photos[0];
  for (const test::AugmentFunction augment : kAugmentCpuAndRef) {
    photos[0] = original;
    for (int times = 1; times <= 2; ++times) {
      Batch batch(photos, {0}, DType::f32, 11, 23, 9);
      batch.args.spec = {.flip = 1, .min_visible = 0};
      batch.run(augment);
      for (int row = 0; row < 11; ++row) {
        for (int column = 0; column < 23; ++column) {
          for (int c = 0; c < 3; ++c) {
            const int source = times == 1 ? 22 - column : column;
            CHECK(static_cast<float>(batch.y.get(0, row, column, c)) ==
                  original.pixels[(row * 23 + source) * 3 + c] / 255.0f);
          }
        }
      }
      photos[0].truths = batch.truths(0);
      for (std::int64_t i = 0; i < batch.y.elements(); ++i) {
        photos[0].pixels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(std::lround(batch.y.get(i) * 255));
      }
      REQUIRE(photos[0].truths.size() == original.truths.size());
      for (std::size_t t = 0; t < original.truths.size(); ++t) {
        const Truth &now = photos[0].truths[t], &before = original.truths[t];
        CHECK(std::abs(now.x - (times == 1 ? 1 - before.x : before.x)) <= 2e-7);
        CHECK(std::abs(now.y - before.y) <= 2e-7);
        CHECK(std::abs(now.w - before.w) <= 2e-7);
      }
    }
  }
}

TEST_CASE("augment: cpu agrees with ref on odd sizes, photos of any size, every kind of change") {
  test::test_augment(test::cpu_subject());
}

TEST_CASE("augment: more truths than a warp, than there is room for") {
  test::test_augment_truths(test::cpu_subject());
}

TEST_CASE("augment: a step's state gives the iteration and its order") {
  test::test_augment_step(test::cpu_subject());
}

TEST_CASE("augment: colour is changed as in a double version, and the grey outside is not") {
  std::vector<Photo> photos = {{27, 27, {}, {}}};
  for (int i = 0; i < 27 * 27; ++i) {  // every mixture of 9 levels, pure and grey ones included
    for (const int level : {i % 9, i / 9 % 9, i / 81 % 9})
      photos[0].pixels.push_back(static_cast<std::uint8_t>(level * 255 / 8));
  }
  for (const test::AugmentFunction augment : kAugmentCpuAndRef) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      Batch batch(photos, {0}, DType::f32, 27, 27, 0);
      batch.args.spec = {.flip = 0, .hue = 0.6f, .saturation = 2, .exposure = 1.8f};
      batch.args.seed = seed;
      batch.run(augment);
      const AugmentPatch patch = plan_augment(batch.args, 0).patch[0];
      double worst = 0;
      for (std::int64_t i = 0; i < 27 * 27; ++i) {
        double rgb[3];
        for (int c = 0; c < 3; ++c) rgb[c] = photos[0].pixels[static_cast<std::size_t>(3 * i + c)] / 255.0;
        recolour(rgb, patch.hue, patch.saturation, patch.exposure);
        for (int c = 0; c < 3; ++c) {
          const double error = std::abs(batch.y.get(3 * i + c) - rgb[c]);
          worst = error <= worst ? worst : error;
        }
      }
      CHECK(worst <= 0.1 / 255);
    }
    Batch batch(photos, {0}, DType::f32, 27, 27, 0);
    batch.args.spec = {.resize = 0.4f, .flip = 0, .hue = 0.5f, .saturation = 2, .exposure = 2};
    batch.run(augment);
    const AugmentPatch patch = plan_augment(batch.args, 0).patch[0];
    REQUIRE((patch.seen_x0 > 0 || patch.seen_y0 > 0));
    for (int c = 0; c < 3; ++c) CHECK(batch.y.get(0, 0, 0, c) == 0.5);
  }
}

TEST_CASE("augment: red turns both ways around the circle") {
  const std::vector<Photo> photos = {{1, 1, {255, 0, 0}, {}}};
  int forward = 0, backward = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Batch batch(photos, {0}, DType::f32, 1, 1, 0);
    batch.args.spec = {.hue = 0.16f};
    batch.args.seed = seed;
    batch.run(cpu::augment);
    const double turn = plan_augment(batch.args, 0).patch[0].hue;
    (turn > 0 ? forward : backward) += 1;
    CHECK(batch.y.get(0) == 1);
    CHECK(std::abs(batch.y.get(1) - std::max(0.0, 6 * turn)) <= 1e-5);
    CHECK(std::abs(batch.y.get(2) - std::max(0.0, -6 * turn)) <= 1e-5);
  }
  CHECK(forward >= 3);
  CHECK(backward >= 3);
}

TEST_CASE("augment: the same bits whatever the threads and the order of calls") {
  Random random(6);
  const std::vector<Photo> photos = {random_photo(random, 80, 60, 9), random_photo(random, 51, 83, 9),
                                     random_photo(random, 96, 96, 9)};
  const std::vector<std::int32_t> order = {0, 2, 1, 1, 0, 2, 2};
  const auto configure = [](Batch& batch) {
    batch.args.spec = kGentle;
    batch.args.seed = 77;
    batch.args.iteration = 5;
    batch.args.first_slot = 3;
  };
  Batch expected(photos, order, DType::f32, 96, 96, 30);
  configure(expected);
  {
    const test::ThreadScope one(1);
    expected.run(cpu::augment);
  }
  for (const int threads : {2, 5}) {
    const test::ThreadScope scope(threads);
    Batch batch(photos, order, DType::f32, 96, 96, 30);
    configure(batch);
    batch.run(cpu::augment);
    CHECK(test::same_bits(batch.y, expected.y));
    check_same_truths(batch, expected, 0);
  }
  for (int i = 6; i >= 0; --i) {  // one by one, backwards
    Batch single(photos, {order[static_cast<std::size_t>(i)]}, DType::f32, 96, 96, 30);
    configure(single);
    single.args.first_slot += static_cast<std::uint32_t>(i);
    single.run(cpu::augment);
    TestTensor slice(DType::f32, 1, 96, 96, 3);
    for (std::int64_t e = 0; e < slice.elements(); ++e) slice.set(e, expected.y.get(i * slice.elements() + e));
    CHECK(test::same_bits(single.y, slice));
    const test::Mapped<Truth> left = single.truths(0), right = expected.truths(i);
    REQUIRE(left.size() == right.size());
    for (std::size_t t = 0; t < left.size(); ++t) CHECK((left[t].x == right[t].x && left[t].cls == right[t].cls));
  }
  const auto differs = [&](auto change) {
    Batch batch(photos, order, DType::f32, 96, 96, 30);
    configure(batch);
    change(batch.args);
    batch.run(cpu::augment);
    CHECK_FALSE(test::same_bits(batch.y, expected.y));
  };
  differs([](Augment& args) { args.seed = 78; });
  differs([](Augment& args) { args.seed += std::uint64_t{1} << 40; });
  differs([](Augment& args) { args.iteration = 6; });
  differs([](Augment& args) { args.first_slot = 4; });
}

}  // namespace rook
