// The draws of augment: ranges and frequencies, independence of switches, geometry of a mosaic; errors.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/augment_plan.h"
#include "kernels/ops.h"
#include "tests/support.h"

namespace rook {
namespace {

constexpr int kWidth = 200, kHeight = 100;  // of the output; the photos are 400 x 300

// Plans of outputs of many seeds.
std::vector<AugmentPlan> plans_of(const AugmentSpec& spec, int count) {
  static const std::vector<std::uint8_t> pixels(400 * 300 * 3);
  static const std::vector<CachedImage> images(7, CachedImage{pixels.data(), 400, 300, nullptr, 0});
  static const std::vector<std::int32_t> order = {3};
  std::vector<AugmentPlan> plans;
  for (int i = 0; i < count; ++i) {
    float unused = 0;
    const Augment args{.images = images,
                       .order = order,
                       .spec = spec,
                       .seed = 11,
                       .iteration = static_cast<std::uint32_t>(i),
                       .y = make_tensor(&unused, DType::f32, 1, kHeight, kWidth, 3)};
    plans.push_back(plan_augment(args, 0));
  }
  return plans;
}

// Smallest, largest and mean of a sample.
struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0;
  int count = 0;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
    ++count;
  }
  double mean() const { return sum / count; }
  // All of [from, to] is used, nothing else, and without preference.
  bool uniform_over(double from, double to) const {
    const double slack = 0.03 * (to - from);
    return low >= from - 1e-6 && low <= from + slack && high <= to + 1e-6 && high >= to - slack &&
           std::abs(mean() - (from + to) / 2) <= 2 * slack;
  }
};

// Crop of the photo that a plan shows, as fractions of it: left edge and width.
double crop_width(const AugmentPatch& patch) {
  return std::abs(patch.scale_x) * kWidth / 400;
}
double crop_left(const AugmentPatch& patch) {
  return (patch.scale_x > 0 ? patch.offset_x : patch.offset_x + patch.scale_x * kWidth) / 400;
}
double crop_height(const AugmentPatch& patch) {
  return patch.scale_y * kHeight / 300;
}

}  // namespace

TEST_CASE("augment plan: the gentle changes lie in their ranges") {
  Range zoom, ratio, shift;
  int flips = 0;
  for (const AugmentPlan& plan : plans_of({.scale = 0.2f}, 2000)) {
    const AugmentPatch& patch = plan.patch[0];
    zoom.add(1 / crop_width(patch));
    CHECK(std::abs(crop_width(patch) - crop_height(patch)) <= 1e-12);
    CHECK(std::abs(crop_left(patch) + crop_width(patch) / 2 - 0.5) <= 1e-12);  // about the centre
    flips += patch.scale_x < 0;
  }
  for (const AugmentPlan& plan : plans_of({.aspect = 0.1f}, 2000)) {
    ratio.add(crop_height(plan.patch[0]) / crop_width(plan.patch[0]));
    CHECK(std::abs(crop_height(plan.patch[0]) * crop_width(plan.patch[0]) - 1) <= 1e-12);
  }
  for (const AugmentPlan& plan : plans_of({.shift = 0.12f}, 2000)) shift.add(-crop_left(plan.patch[0]));
  CHECK(zoom.uniform_over(0.8, 1.2));
  CHECK(ratio.uniform_over(0.9, 1.1));
  CHECK(shift.uniform_over(-0.12, 0.12));
  CHECK(std::abs(flips - 1000) <= 110);  // five standard deviations
}

TEST_CASE("augment plan: darknet's jitter and resize move the edges as far as they should") {
  Range left, right;
  for (const AugmentPlan& plan : plans_of({.jitter = 0.2f, .flip = 0}, 2000)) {
    left.add(crop_left(plan.patch[0]));
    right.add(1 - crop_left(plan.patch[0]) - crop_width(plan.patch[0]));
  }
  CHECK(left.uniform_over(-0.2, 0.2));
  CHECK(right.uniform_over(-0.2, 0.2));
  Range both, smaller;
  for (const AugmentPlan& plan : plans_of({.resize = 1.5f, .flip = 0}, 2000)) {
    const AugmentPatch& patch = plan.patch[0];
    both.add(crop_left(patch));
    CHECK(std::abs(crop_left(patch) - patch.offset_y / 300) <= 1e-12);  // one draw for left and top
    CHECK(std::abs(crop_width(patch) - crop_height(patch)) <= 1e-12);
  }
  CHECK(both.uniform_over(-0.25, 1 / 6.0));  // (1 - 1.5) / 2 .. (1 - 1 / 1.5) / 2
  for (const AugmentPlan& plan : plans_of({.resize = 0.5f, .flip = 0}, 2000)) smaller.add(crop_left(plan.patch[0]));
  CHECK(smaller.uniform_over(-0.5, 0));
  // A crop without area is not used.
  for (const AugmentPlan& plan : plans_of({.jitter = 0.99f, .resize = 4}, 500)) CHECK(crop_width(plan.patch[0]) > 0);
}

TEST_CASE("augment plan: colours and their switches") {
  const AugmentSpec spec{.scale = 0.3f, .hue = 0.1f, .saturation = 1.5f, .exposure = 2};
  AugmentSpec plain = spec;
  plain.hue = 0;
  plain.saturation = plain.exposure = 1;
  const std::vector<AugmentPlan> coloured = plans_of(spec, 2000), colourless = plans_of(plain, 2000);
  Range hue, more, less;
  int brighter = 0;
  for (std::size_t i = 0; i < coloured.size(); ++i) {
    const AugmentPatch& patch = coloured[i].patch[0];
    hue.add(patch.hue);
    (patch.saturation >= 1 ? more : less).add(patch.saturation >= 1 ? patch.saturation : 1 / patch.saturation);
    brighter += patch.exposure > 1;
    CHECK((patch.exposure >= 0.5 && patch.exposure <= 2));
    CHECK_FALSE(colourless[i].patch[0].recolours());
    CHECK(colourless[i].patch[0].scale_x == patch.scale_x);  // the draws of one change do not depend on another
    CHECK(colourless[i].patch[0].offset_y == patch.offset_y);
  }
  CHECK(hue.uniform_over(-0.1, 0.1));
  CHECK(more.uniform_over(1, 1.5));
  CHECK(less.uniform_over(1, 1.5));
  CHECK(std::abs(more.count - 1000) <= 110);
  CHECK(std::abs(brighter - 1000) <= 110);
}

TEST_CASE("augment plan: a mosaic's quadrants tile the output and hold no needless bars") {
  Range cut_x, cut_y;
  int mosaics = 0, own[4] = {}, chosen[7] = {}, pushed = 0, pushable = 0;
  for (const AugmentPlan& plan : plans_of({.scale = 0.2f, .mosaic = 0.75f}, 2000)) {
    if (plan.patches == 1) {
      CHECK(plan.patch[0].image == 3);
      continue;
    }
    ++mosaics;
    const AugmentPatch* patch = plan.patch;
    const int x = patch[0].x1, y = patch[0].y1;
    cut_x.add(x);
    cut_y.add(y);
    bool has_own = false;
    for (int slot = 0; slot < 4; ++slot) {
      const bool left = slot % 2 == 0, top = slot < 2;
      CHECK((patch[slot].x0 == (left ? 0 : x) && patch[slot].x1 == (left ? x : kWidth)));
      CHECK((patch[slot].y0 == (top ? 0 : y) && patch[slot].y1 == (top ? y : kHeight)));
      // Bars of a zoom of 0.8 are 0.1 of the output: less than a quadrant leaves out, so each photo reaches the cut.
      CHECK((left ? patch[slot].seen_x1 : patch[slot].seen_x0) == x);
      CHECK((top ? patch[slot].seen_y1 : patch[slot].seen_y0) == y);
      has_own = has_own || patch[slot].image == 3;
      own[slot] += patch[slot].image == 3;
      ++chosen[patch[slot].image];
    }
    CHECK(has_own);
  }
  CHECK(std::abs(mosaics - 1500) <= 100);
  CHECK(cut_x.uniform_over(0.2 * kWidth, 0.8 * kWidth));
  CHECK(cut_y.uniform_over(0.2 * kHeight, 0.8 * kHeight));
  for (const int count : own) CHECK(std::abs(count - mosaics * (0.25 + 0.75 / 7)) <= 0.08 * mosaics);
  for (int i = 0; i < 7; ++i) CHECK(std::abs(chosen[i] - mosaics * (i == 3 ? 1 + 3 / 7.0 : 3 / 7.0)) <= 0.12 * mosaics);

  // Top left, not mirrored, nothing but jitter: pushed into the corner, the crop begins at the photo's edge.
  for (const AugmentPlan& plan : plans_of({.jitter = 0.2f, .flip = 0, .mosaic = 1}, 2000)) {
    const AugmentPatch& patch = plan.patch[0];
    const double left =
        patch.offset_x - patch.scale_x * (kWidth - patch.x1);  // as if nothing were cut off on the right
    const double right = 400 - left - patch.scale_x * kWidth;
    if (right <= 1e-9) continue;
    ++pushable;
    pushed += std::abs(left) <= 1e-9;
  }
  CHECK(std::abs(pushed - pushable / 2.0) <= 0.07 * pushable);
}

TEST_CASE("augment plan: the photo is stretched over the output whatever its size") {
  const AugmentPatch patch = plans_of({.flip = 0}, 1)[0].patch[0];
  CHECK(patch.scale_x == 2);
  CHECK(patch.scale_y == 3);
  CHECK((patch.offset_x == 0 && patch.offset_y == 0));
  CHECK((patch.seen_x0 == 0 && patch.seen_x1 == kWidth && patch.seen_y0 == 0 && patch.seen_y1 == kHeight));
}

TEST_CASE("augment: wrong arguments are errors") {
  const std::vector<std::uint8_t> pixels(4 * 4 * 3);
  const std::vector<CachedImage> images = {{pixels.data(), 4, 4, nullptr, 0}};
  const std::vector<std::int32_t> order = {0};
  std::vector<float> y(5 * 5 * 3);
  std::vector<Truth> truths(3);
  std::int32_t counts = 0;
  const Augment good{.images = images,
                     .order = order,
                     .spec = {},
                     .y = make_tensor(y.data(), DType::f32, 1, 5, 5, 3),
                     .truths = truths.data(),
                     .truth_counts = &counts,
                     .max_truths = 3};
  const auto fails = [&](auto change) {
    Augment args = good;
    change(args);
    CHECK_THROWS_AS(cpu::augment(args), Error);
    CHECK_THROWS_AS(ref::augment(args), Error);
  };
  CHECK_NOTHROW(cpu::augment(good));
  const std::vector<std::int32_t> beyond = {1}, negative = {-1}, two = {0, 0};
  const std::vector<CachedImage> empty = {{nullptr, 4, 4, nullptr, 0}}, flat = {{pixels.data(), 4, 0, nullptr, 0}},
                                 lost = {{pixels.data(), 4, 4, nullptr, 2}};
  fails([&](Augment& args) { args.order = beyond; });
  fails([&](Augment& args) { args.order = negative; });
  fails([&](Augment& args) { args.order = two; });
  fails([&](Augment& args) { args.images = {}; });
  fails([&](Augment& args) { args.images = empty; });
  fails([&](Augment& args) { args.images = flat; });
  fails([&](Augment& args) { args.images = lost; });
  fails([](Augment& args) { args.y.data = nullptr; });
  fails([](Augment& args) { args.y.c = 1; });
  fails([](Augment& args) { args.y.pitch = 2; });
  fails([](Augment& args) { args.y.dtype = DType::u8; });
  fails([](Augment& args) { args.truths = nullptr; });
  fails([](Augment& args) { args.truth_counts = nullptr; });
  fails([](Augment& args) { args.max_truths = -1; });
  const float nan = std::numeric_limits<float>::quiet_NaN();
  fails([=](Augment& args) { args.spec.jitter = nan; });
  fails([](Augment& args) { args.spec.jitter = 1; });
  fails([](Augment& args) { args.spec.resize = 0; });
  fails([](Augment& args) { args.spec.scale = 1; });
  fails([](Augment& args) { args.spec.aspect = -0.1f; });
  fails([](Augment& args) { args.spec.shift = 2; });
  fails([](Augment& args) { args.spec.flip = 1.5f; });
  fails([](Augment& args) { args.spec.hue = -1; });
  fails([=](Augment& args) { args.spec.saturation = nan; });
  fails([](Augment& args) { args.spec.exposure = 0; });
  fails([](Augment& args) { args.spec.mosaic = 2; });
  fails([](Augment& args) { args.spec.min_visible = -1; });
}

}  // namespace rook
