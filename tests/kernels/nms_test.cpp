// nms: hand-made cases that tell the kinds apart, order, and cpu against ref.
#include "base/error.h"
#include "kernels/ops.h"
#include "tests/support.h"

namespace rook {
namespace {

using Suppress = void (*)(const Nms&, Stream);
using Detections = std::vector<Detection>;

constexpr NmsKind kKinds[] = {NmsKind::plain, NmsKind::greedy, NmsKind::diou};

Detections run(Suppress nms, Detections candidates, NmsKind kind, float threshold, float beta = 0.6f) {
  std::int32_t count = static_cast<std::int32_t>(candidates.size());
  const int capacity = count + 3;
  candidates.resize(candidates.size() + 4);
  candidates.back().index = 4711;
  nms({.detections = candidates.data(),
       .counts = &count,
       .images = 1,
       .capacity = capacity,
       .kind = kind,
       .threshold = threshold,
       .beta = beta},
      {});
  CHECK(candidates.back().index == 4711);
  candidates.resize(static_cast<std::size_t>(count));
  return candidates;
}

std::vector<int> indices(const Detections& detections) {
  std::vector<int> result;
  for (const Detection& d : detections) result.push_back(d.index);
  return result;
}

Detection box(float x, float y, float w, float h, float score, int index, int cls = 0) {
  return {x, y, w, h, score, score, cls, index};
}

using Ints = std::vector<int>;

TEST_CASE("nms: by class, best first, strictly above the threshold") {
  for (Suppress nms : {cpu::nms, ref::nms}) {
    for (NmsKind kind : kKinds) {
      // Two equal boxes of one class, one of another class, one far away.
      const Detections candidates = {box(.5f, .5f, .25f, .25f, .6f, 3), box(.5f, .5f, .25f, .25f, .9f, 9),
                                     box(.5f, .5f, .25f, .25f, .7f, 9, 1), box(.1f, .1f, .125f, .125f, .8f, 1)};
      CHECK(indices(run(nms, candidates, kind, .45f)) == Ints{9, 1, 9});
      // Nothing is above IoU 1.
      CHECK(indices(run(nms, candidates, kind, 1)) == Ints{9, 1, 9, 3});
    }
    // IoU exactly 1/2 (all numbers exact): not above 0.5.
    const Detections half = {box(.5f, .5f, .5f, .25f, .9f, 0), box(.5f, .5f, .25f, .25f, .8f, 1)};
    CHECK(indices(run(nms, half, NmsKind::plain, .5f)) == Ints{0, 1});
    CHECK(indices(run(nms, half, NmsKind::plain, .4999f)) == Ints{0});
  }
}

TEST_CASE("nms: greedynms and diounms forgive far centres, plain does not") {
  for (Suppress nms : {cpu::nms, ref::nms}) {
    // Shifted by a third of the width: IoU (2/3) / (4/3) = 1/2; distance 1/3, diagonal^2 (4/3)^2 + 1 = 25/9, ratio
    // 1/25; (1/25)^0.6 = 0.145, so greedynms sees 0.355.
    const Detections pair = {box(.3f, .5f, .3f, .3f, .9f, 0), box(.4f, .5f, .3f, .3f, .8f, 1)};
    CHECK(indices(run(nms, pair, NmsKind::plain, .45f)) == Ints{0});
    CHECK(indices(run(nms, pair, NmsKind::greedy, .45f)) == Ints{0, 1});
    CHECK(indices(run(nms, pair, NmsKind::greedy, .36f)) == Ints{0, 1});
    CHECK(indices(run(nms, pair, NmsKind::greedy, .35f)) == Ints{0});
    // diounms takes beta: with 1 the value is 0.46; greedynms has 0.6 whatever beta says.
    CHECK(indices(run(nms, pair, NmsKind::diou, .45f, 1)) == Ints{0});
    CHECK(indices(run(nms, pair, NmsKind::diou, .45f, .6f)) == Ints{0, 1});
    CHECK(indices(run(nms, pair, NmsKind::greedy, .45f, 1)) == Ints{0, 1});
  }
}

TEST_CASE("nms: a suppressed box suppresses nobody") {
  for (Suppress nms : {cpu::nms, ref::nms}) {
    // A chain: 0 covers 1, 1 covers 2, 0 does not cover 2.
    const Detections chain = {box(.3f, .5f, .2f, .2f, .9f, 0), box(.36f, .5f, .2f, .2f, .8f, 1),
                              box(.42f, .5f, .2f, .2f, .7f, 2)};
    CHECK(indices(run(nms, chain, NmsKind::plain, .45f)) == Ints{0, 2});
  }
}

TEST_CASE("nms: equal scores go by index, then class; NaN scores vanish; nothing gives nothing") {
  for (Suppress nms : {cpu::nms, ref::nms}) {
    const Detections ties = {box(.8f, .5f, .1f, .1f, .5f, 7, 2), box(.8f, .5f, .1f, .1f, .5f, 7, 1),
                             box(.2f, .5f, .1f, .1f, .5f, 3, 5), box(.5f, .5f, .1f, .1f, std::nanf(""), 1, 0)};
    const Detections result = run(nms, ties, NmsKind::plain, .45f);
    REQUIRE(indices(result) == Ints{3, 7, 7});
    CHECK(result[1].cls == 1);
    CHECK(run(nms, {}, NmsKind::greedy, .45f).empty());
    // Of equal boxes with equal scores the lower index stays.
    const Detections equal = {box(.5f, .5f, .1f, .1f, .5f, 8), box(.5f, .5f, .1f, .1f, .5f, 2)};
    CHECK(indices(run(nms, equal, NmsKind::plain, .45f)) == Ints{2});
    // Boxes without area neither suppress nor vanish.
    const Detections flat = {box(.5f, .5f, 0, 0, .5f, 0), box(.5f, .5f, 0, 0, .4f, 1)};
    CHECK(indices(run(nms, flat, NmsKind::plain, .45f)) == Ints{0, 1});
  }
}

Detections random_candidates(test::Random& random, int count, int classes, double spread) {
  Detections result;
  for (int i = 0; i < count; ++i) {
    const float score = static_cast<float>(random.below(50)) / 50 + 0.01f;  // many ties
    result.push_back({static_cast<float>(random.uniform(0, spread)), static_cast<float>(random.uniform(0, spread)),
                      static_cast<float>(random.uniform(.01, .4)), static_cast<float>(random.uniform(.01, .4)), score,
                      score, static_cast<std::int32_t>(random.below(classes)), i});
  }
  return result;
}

TEST_CASE("nms: cpu equals ref, image by image, whatever the order and the number of threads") {
  test::Random random(3);
  constexpr int kImages = 5, kCapacity = 700;
  for (NmsKind kind : kKinds) {
    for (float threshold : {0.1f, 0.45f, 0.7f}) {
      std::vector<Detection> actual(kImages * kCapacity), expected;
      std::vector<std::int32_t> counts = {700, 0, 1, 333, 900};  // the last: more than fitted
      for (int n = 0; n < kImages; ++n) {
        const Detections some =
            random_candidates(random, std::min(counts[static_cast<std::size_t>(n)], kCapacity), 3, 1);
        std::copy(some.begin(), some.end(), actual.begin() + std::ptrdiff_t{n} * kCapacity);
      }
      expected = actual;
      std::vector<std::int32_t> expected_counts = counts;
      Nms args{.counts = counts.data(), .images = kImages, .capacity = kCapacity, .kind = kind, .threshold = threshold};
      args.beta = 0.8f;
      args.detections = actual.data();
      {
        const test::ThreadScope threads(threshold > 0.4f ? 1 : 2);
        cpu::nms(args);
      }
      args.detections = expected.data();
      args.counts = expected_counts.data();
      ref::nms(args);
      REQUIRE(counts == expected_counts);
      for (std::size_t n = 0; n < kImages; ++n) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(counts[n]); ++i) {
          const Detection &a = actual[n * kCapacity + i], &b = expected[n * kCapacity + i];
          REQUIRE(a.index == b.index);
          REQUIRE(a.cls == b.cls);
        }
      }
    }
  }
}

TEST_CASE("nms: thirty thousand candidates of eighty classes") {
  test::Random random(5);
  Detections many = random_candidates(random, 30000, 80, 1);
  const Detections survivors = run(cpu::nms, many, NmsKind::greedy, 0.45f);
  CHECK(survivors.size() > 1000);
  CHECK(survivors.size() < 30000);
  for (std::size_t i = 1; i < survivors.size(); ++i) {
    const auto key = [&](std::size_t k) {
      return std::tuple(-survivors[k].score, survivors[k].index, survivors[k].cls);
    };
    REQUIRE(key(i - 1) < key(i));
  }
}

TEST_CASE("nms: wrong arguments are errors") {
  std::int32_t count = 1;
  CHECK_THROWS_AS(cpu::nms({.counts = &count, .images = 1, .capacity = 4}), Error);
  CHECK_THROWS_AS(ref::nms({.counts = nullptr, .images = 1, .capacity = 0}), Error);
  CHECK_THROWS_AS(cpu::nms({.counts = &count, .images = 1, .threshold = std::nanf("")}), Error);
}

}  // namespace
}  // namespace rook
