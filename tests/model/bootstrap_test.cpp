// The bootstrap against photos that are really repeated, and on differences that are known.
#include "model/bootstrap.h"

#include <cmath>

#include "base/error.h"
#include "tests/model/evaluate_support.h"
#include "tests/random.h"

using namespace rook;
using namespace rook::test;

namespace {

const std::vector<std::string> kNames{"a", "b", "c"};

// Photos with truths, and detections of which a share is right.
std::vector<ImageResult> photos_of(int count, double skill, std::uint64_t seed) {
  std::vector<ImageResult> results;
  Random truths(7), random(seed);
  for (int i = 0; i < count; ++i) {
    ImageResult photo{.name = "p" + std::to_string(i), .width = 100, .height = 100};
    for (std::int64_t t = truths.below(5); t > 0; --t) {
      const Truth truth{static_cast<float>(truths.uniform(0.2, 0.8)), static_cast<float>(truths.uniform(0.2, 0.8)),
                        0.1f, 0.1f, static_cast<std::int32_t>(truths.below(3))};
      photo.truths.push_back(truth);
      Detection found{};
      found.x = truth.x + (random.uniform() < skill ? 0.0f : 0.15f);
      found.y = truth.y;
      found.w = found.h = 0.1f;
      found.cls = truth.cls;
      // Ties between photos, none within one: copies of a photo repeat its detections in turn.
      found.score = static_cast<float>(std::round(random.uniform(0.1, 1) * 20) / 20 + 1e-3 * static_cast<double>(t));
      photo.detections.push_back(found);
    }
    results.push_back(photo);
  }
  return results;
}

}  // namespace

TEST_CASE("bootstrap: mAP with copies is that of the photos repeated") {
  auto results = photos_of(23, 0.7, 3);
  // Some of what is found beside its truth is in a crowd.
  for (std::size_t i = 0; i < results.size(); i += 3)
    for (const Truth& t : results[i].truths) results[i].ignored.push_back({t.x + 0.15f, t.y, 0.1f, 0.1f, t.cls, true});
  Random random(5);
  for (int round = 0; round < 40; ++round) {
    std::vector<int> copies;
    std::vector<ImageResult> repeated;
    for (const ImageResult& photo : results) {
      copies.push_back(static_cast<int>(random.below(4)));
      for (int c = 0; c < copies.back(); ++c) repeated.push_back(photo);
    }
    const double expected = evaluate(repeated, kNames).map50, found = map50_with_copies(results, 3, copies);
    CHECK(expected > 0.2);
    CHECK(!(std::abs(found - expected) > 1e-12));
  }
  const std::vector<int> none(results.size(), 0);
  CHECK(map50_with_copies(results, 3, none) == 0);
}

TEST_CASE("bootstrap: the same models differ by nothing, a better one by something") {
  const auto good = photos_of(60, 0.95, 1), bad = photos_of(60, 0.5, 2), like_good = photos_of(60, 0.95, 3);
  const Interval same = bootstrap_map50(good, good, 3, 200, 1);
  CHECK((same.difference == 0 && same.low == 0 && same.high == 0 && same.b_better == 0.5 && same.noise()));
  const Interval worse = bootstrap_map50(good, bad, 3, 500, 1);
  CHECK(worse.difference == evaluate(bad, kNames).map50 - evaluate(good, kNames).map50);
  CHECK((worse.low < worse.difference && worse.difference < worse.high && worse.high < 0 && !worse.noise()));
  CHECK(worse.b_better == 0);
  CHECK(bootstrap_map50(good, like_good, 3, 500, 1).noise());
  const Interval again = bootstrap_map50(good, bad, 3, 500, 1), other = bootstrap_map50(good, bad, 3, 500, 2);
  CHECK((again.low == worse.low && again.high == worse.high));
  CHECK(other.low != worse.low);
  // The other way round everything changes its sign.
  const Interval better = bootstrap_map50(bad, good, 3, 500, 1);
  CHECK(!(std::abs(better.low + worse.high) > 1e-12));
  CHECK_THROWS_AS(bootstrap_map50(good, photos_of(59, 0.5, 2), 3, 100, 1), Error);
}
