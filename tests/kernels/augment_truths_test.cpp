// augment: the truths follow the pixels; which are kept, and how many.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/augment_plan.h"
#include "kernels/ops.h"
#include "tests/kernels/augment_support.h"
#include "tests/support.h"

namespace rook {
namespace {

using test::kAugmentCpuAndRef;
using test::Random;
using test::TestTensor;
using Photo = test::AugmentPhoto;
using Batch = test::AugmentBatch;
using test::kDarknet;
using test::kGentle;
using test::random_photo;

// A photo that is black but for one magenta rectangle, which is its truth.
Photo marked_photo(Random& random, int width, int height, int cls) {
  Photo photo{width, height, test::Mapped<std::uint8_t>(static_cast<std::size_t>(width) * height * 3), {}};
  const int w = 12 + static_cast<int>(random.below(width / 3)), h = 12 + static_cast<int>(random.below(height / 3));
  const int left = static_cast<int>(random.below(width - w + 1)), top = static_cast<int>(random.below(height - h + 1));
  for (int row = top; row < top + h; ++row) {
    for (int column = left; column < left + w; ++column) {
      photo.pixels[static_cast<std::size_t>((row * width + column) * 3)] = 255;
      photo.pixels[static_cast<std::size_t>((row * width + column) * 3 + 2)] = 255;
    }
  }
  photo.truths = {{(left + w / 2.0f) / width, (top + h / 2.0f) / height, static_cast<float>(w) / width,
                   static_cast<float>(h) / height, cls}};
  return photo;
}

// Magenta pixels of a patch: their number and bounding box (the grey outside has equal channels).
struct Marked {
  int count = 0, left = 1 << 20, top = 1 << 20, right = 0, bottom = 0;
};
Marked find_marked(const TestTensor& y, int output, const AugmentPatch& patch) {
  Marked marked;
  for (int row = patch.y0; row < patch.y1; ++row) {
    for (int column = patch.x0; column < patch.x1; ++column) {
      if (!(y.get(output, row, column, 0) - y.get(output, row, column, 1) > 0.5)) continue;
      ++marked.count;
      marked.left = std::min(marked.left, column);
      marked.top = std::min(marked.top, row);
      marked.right = std::max(marked.right, column + 1);
      marked.bottom = std::max(marked.bottom, row + 1);
    }
  }
  return marked;
}

}  // namespace

TEST_CASE("augment: truths move with the pixels") {
  Random random(4);
  const std::vector<Photo> photos = {marked_photo(random, 64, 48, 0), marked_photo(random, 97, 131, 1),
                                     marked_photo(random, 41, 43, 2), marked_photo(random, 160, 60, 3)};
  const int height = 61, width = 83;
  AugmentSpec gentle = kGentle, darknet = kDarknet;
  gentle.hue = darknet.hue = 0;
  gentle.saturation = gentle.exposure = darknet.saturation = darknet.exposure = 1;
  darknet.mosaic_bound = true;
  darknet.min_visible = 0.25f;
  int kept = 0, dropped = 0, mosaics = 0;
  for (const AugmentSpec& spec : {gentle, darknet}) {
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
      Batch batch(photos, {static_cast<int>(seed % 4), 1, 2}, DType::f32, height, width, 4);
      batch.args.spec = spec;
      batch.args.seed = seed;
      batch.run(cpu::augment);
      for (int output = 0; output < 3; ++output) {
        const AugmentPlan plan = plan_augment(batch.args, output);
        const test::Mapped<Truth> truths = batch.truths(output);
        std::size_t next = 0;
        mosaics += plan.patches == 4;
        for (int p = 0; p < plan.patches; ++p) {
          const AugmentPatch& patch = plan.patch[p];
          const Photo& photo = photos[static_cast<std::size_t>(patch.image)];
          const Marked marked = find_marked(batch.y, output, patch);
          const double w = photo.truths[0].w * photo.width / std::abs(patch.scale_x);
          const double h = photo.truths[0].h * photo.height / std::abs(patch.scale_y);
          const Truth truth = next < truths.size() ? truths[next] : Truth{-1, -1, 0, 0, -1};
          const double x = truth.x * width, y = truth.y * height;
          if (truth.cls == patch.image && x > patch.x0 && x < patch.x1 && y > patch.y0 && y < patch.y1) {
            ++next;
            ++kept;
            // The blurred edge of the rectangle passes one half exactly on the truth's edge, so a pixel is magenta when
            // its centre is inside.
            CHECK(std::abs(marked.left - (x - truth.w * width / 2)) <= 0.51);
            CHECK(std::abs(marked.right - (x + truth.w * width / 2)) <= 0.51);
            CHECK(std::abs(marked.top - (y - truth.h * height / 2)) <= 0.51);
            CHECK(std::abs(marked.bottom - (y + truth.h * height / 2)) <= 0.51);
            CHECK(truth.w * width * truth.h * height >= 0.25 * w * h - 1e-3);
          } else {
            ++dropped;
            CHECK(marked.count <= 0.25 * w * h + w + h + 1);
          }
        }
        CHECK(next == truths.size());
      }
    }
  }
  CHECK(kept > 500);
  CHECK(dropped > 100);
  CHECK(mosaics > 200);
}

TEST_CASE("augment: without mosaic_bound a truth reaches over the cut, but never out of the picture") {
  Random random(5);
  const std::vector<Photo> photos = {random_photo(random, 64, 64, 20), random_photo(random, 64, 64, 20)};
  int over = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Batch free(photos, {0, 1}, DType::f32, 64, 64, 80), bound(photos, {0, 1}, DType::f32, 64, 64, 80);
    for (Batch* batch : {&free, &bound}) {
      batch->args.spec = {
          .scale = 0.2f, .shift = 0.1f, .mosaic = 1, .mosaic_bound = batch == &bound, .min_visible = 0.1f};
      batch->args.seed = seed;
      batch->run(cpu::augment);
    }
    for (int output = 0; output < 2; ++output) {
      const int cut_x = plan_augment(bound.args, output).patch[0].x1;
      for (const Truth& truth : bound.truths(output)) {
        const double left = truth.x - truth.w / 2, right = truth.x + truth.w / 2, cut = cut_x / 64.0;
        CHECK((right <= cut + 1e-6 || left >= cut - 1e-6));
      }
      for (const Truth& truth : free.truths(output)) {
        const double left = truth.x - truth.w / 2, right = truth.x + truth.w / 2, cut = cut_x / 64.0;
        CHECK((left >= -1e-6 && right <= 1 + 1e-6));
        over += left < cut - 0.01 && right > cut + 0.01;
      }
    }
  }
  CHECK(over > 50);
}

TEST_CASE("augment: what is too small is dropped before the rest is counted") {
  std::vector<Photo> photos = {{32, 32, test::Mapped<std::uint8_t>(32 * 32 * 3, 9), {}}};
  for (int t = 0; t < 10; ++t)
    photos[0].truths.push_back({0.5f, 0.5f, 0.9f / 32, 0.5f, 100 + t});  // thinner than a pixel
  const float nan = std::numeric_limits<float>::quiet_NaN();
  photos[0].truths.push_back({nan, 0.5f, 0.5f, 0.5f, 200});
  photos[0].truths.push_back({1.4f, 0.5f, 0.5f, 0.5f, 201});   // outside
  photos[0].truths.push_back({0.98f, 0.5f, 0.2f, 0.5f, 202});  // 60 % inside
  for (int t = 0; t < 5; ++t) photos[0].truths.push_back({0.5f, 0.5f, 0.25f, 0.5f, t});
  for (const test::AugmentFunction augment : kAugmentCpuAndRef) {
    for (const int room : {0, 1, 3, 8}) {
      Batch batch(photos, {0}, DType::f32, 32, 32, room);
      batch.args.spec = {.flip = 0, .min_visible = 0.7f};
      batch.run(augment);
      const test::Mapped<Truth> truths = batch.truths(0);
      REQUIRE(static_cast<int>(truths.size()) == std::min(room, 5));
      for (std::size_t t = 0; t < truths.size(); ++t) CHECK(truths[t].cls == static_cast<int>(t));
    }
    Batch batch(photos, {0}, DType::f32, 32, 32, 8);
    batch.args.spec = {.flip = 0, .min_visible = 0.5f};
    batch.run(augment);
    REQUIRE(batch.truths(0).size() == 6);
    const Truth cut = batch.truths(0)[0];  // [0.88, 1.08] became [0.88, 1]
    CHECK(cut.cls == 202);
    CHECK(std::abs(cut.x - 0.94) <= 1e-6);
    CHECK(std::abs(cut.w - 0.12) <= 1e-6);
  }
}

}  // namespace rook
