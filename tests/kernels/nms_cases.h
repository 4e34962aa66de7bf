// Non-maximum suppression on any device: hand-made cases that tell the kinds apart, order, comparison with ref.
#pragma once

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "tests/kernels/head_cases.h"
#include "tests/kernels/subject.h"
#include "tests/mapped.h"

namespace rook::test {

using Detections = std::vector<Detection>;

inline constexpr NmsKind kNmsKinds[] = {NmsKind::plain, NmsKind::greedy, NmsKind::diou};

// Runs args with a workspace of its own.
inline void run_nms(const Subject& subject, Nms args, Poison poison = Poison::nan) {
  TestWorkspace workspace(subject.nms_workspace(args), poison);
  args.workspace = workspace.data();
  subject.nms(args);
  CHECK(workspace.guards_intact());
}

inline Detections suppress(const Subject& subject, const Detections& candidates, NmsKind kind, float threshold,
                           float beta = 0.6f) {
  Mapped<Detection> detections(candidates.begin(), candidates.end());
  Mapped<std::int32_t> count(1, static_cast<std::int32_t>(candidates.size()));
  const int capacity = count[0] + 3;
  detections.resize(candidates.size() + 4);
  detections.back().index = 4711;
  run_nms(subject, {.detections = detections.data(),
                    .counts = count.data(),
                    .images = 1,
                    .capacity = capacity,
                    .kind = kind,
                    .threshold = threshold,
                    .beta = beta});
  CHECK(detections.back().index == 4711);
  return {detections.begin(), detections.begin() + count[0]};
}

inline std::vector<int> indices(const Detections& detections) {
  std::vector<int> result;
  for (const Detection& d : detections) result.push_back(d.index);
  return result;
}

inline Detection detection(float x, float y, float w, float h, float score, int index, int cls = 0) {
  return {x, y, w, h, score, score, cls, index};
}

using Ints = std::vector<int>;

// By class, best first, strictly above the threshold.
inline void test_nms_by_class(const Subject& subject) {
  for (NmsKind kind : kNmsKinds) {
    // Two equal boxes of one class, one of another class, one far away.
    const Detections candidates = {detection(.5f, .5f, .25f, .25f, .6f, 3), detection(.5f, .5f, .25f, .25f, .9f, 9),
                                   detection(.5f, .5f, .25f, .25f, .7f, 9, 1),
                                   detection(.1f, .1f, .125f, .125f, .8f, 1)};
    CHECK(indices(suppress(subject, candidates, kind, .45f)) == Ints{9, 1, 9});
    // Nothing is above IoU 1.
    CHECK(indices(suppress(subject, candidates, kind, 1)) == Ints{9, 1, 9, 3});
  }
  // IoU exactly 1/2 (all numbers exact): not above 0.5.
  const Detections half = {detection(.5f, .5f, .5f, .25f, .9f, 0), detection(.5f, .5f, .25f, .25f, .8f, 1)};
  CHECK(indices(suppress(subject, half, NmsKind::plain, .5f)) == Ints{0, 1});
  CHECK(indices(suppress(subject, half, NmsKind::plain, .4999f)) == Ints{0});
}

// greedynms and diounms forgive far centres, plain does not.
inline void test_nms_kinds(const Subject& subject) {
  // Shifted by a third of the width: IoU (2/3) / (4/3) = 1/2; distance 1/3, diagonal^2 (4/3)^2 + 1 = 25/9, ratio
  // 1/25; (1/25)^0.6 = 0.145, so greedynms sees 0.355.
  const Detections pair = {detection(.3f, .5f, .3f, .3f, .9f, 0), detection(.4f, .5f, .3f, .3f, .8f, 1)};
  CHECK(indices(suppress(subject, pair, NmsKind::plain, .45f)) == Ints{0});
  CHECK(indices(suppress(subject, pair, NmsKind::greedy, .45f)) == Ints{0, 1});
  CHECK(indices(suppress(subject, pair, NmsKind::greedy, .36f)) == Ints{0, 1});
  CHECK(indices(suppress(subject, pair, NmsKind::greedy, .35f)) == Ints{0});
  // diounms takes beta: with 1 the value is 0.46; greedynms has 0.6 whatever beta says.
  CHECK(indices(suppress(subject, pair, NmsKind::diou, .45f, 1)) == Ints{0});
  CHECK(indices(suppress(subject, pair, NmsKind::diou, .45f, .6f)) == Ints{0, 1});
  CHECK(indices(suppress(subject, pair, NmsKind::greedy, .45f, 1)) == Ints{0, 1});
}

// A suppressed box suppresses nobody.
inline void test_nms_chain(const Subject& subject) {
  // A chain: 0 covers 1, 1 covers 2, 0 does not cover 2.
  const Detections chain = {detection(.3f, .5f, .2f, .2f, .9f, 0), detection(.36f, .5f, .2f, .2f, .8f, 1),
                            detection(.42f, .5f, .2f, .2f, .7f, 2)};
  CHECK(indices(suppress(subject, chain, NmsKind::plain, .45f)) == Ints{0, 2});
}

// Equal scores go by index, then class; NaN scores vanish; nothing gives nothing.
inline void test_nms_ties(const Subject& subject) {
  const Detections ties = {detection(.8f, .5f, .1f, .1f, .5f, 7, 2), detection(.8f, .5f, .1f, .1f, .5f, 7, 1),
                           detection(.2f, .5f, .1f, .1f, .5f, 3, 5),
                           detection(.5f, .5f, .1f, .1f, std::nanf(""), 1, 0)};
  const Detections result = suppress(subject, ties, NmsKind::plain, .45f);
  REQUIRE(indices(result) == Ints{3, 7, 7});
  CHECK(result[1].cls == 1);
  CHECK(suppress(subject, {}, NmsKind::greedy, .45f).empty());
  // Of equal boxes with equal scores the lower index stays.
  const Detections equal = {detection(.5f, .5f, .1f, .1f, .5f, 8), detection(.5f, .5f, .1f, .1f, .5f, 2)};
  CHECK(indices(suppress(subject, equal, NmsKind::plain, .45f)) == Ints{2});
  // Boxes without area neither suppress nor vanish.
  const Detections flat = {detection(.5f, .5f, 0, 0, .5f, 0), detection(.5f, .5f, 0, 0, .4f, 1)};
  CHECK(indices(suppress(subject, flat, NmsKind::plain, .45f)) == Ints{0, 1});
}

inline Detections random_candidates(Random& random, int count, int classes, double spread) {
  Detections result;
  for (int i = 0; i < count; ++i) {
    const float score = static_cast<float>(random.below(50)) / 50 + 0.01f;  // many ties
    result.push_back({static_cast<float>(random.uniform(0, spread)), static_cast<float>(random.uniform(0, spread)),
                      static_cast<float>(random.uniform(.01, .4)), static_cast<float>(random.uniform(.01, .4)), score,
                      score, static_cast<std::int32_t>(random.below(classes)), i});
  }
  return result;
}

// A batch of images with so many candidates of three classes.
struct NmsBatch {
  NmsBatch(Random& random, const std::vector<std::int32_t>& candidates, int room)
      : capacity(room), detections(candidates.size() * static_cast<std::size_t>(room)) {
    counts.assign(candidates.begin(), candidates.end());
    for (std::size_t n = 0; n < candidates.size(); ++n) {
      const Detections some = random_candidates(random, std::min(candidates[n], room), 3, 1);
      std::copy(some.begin(), some.end(), detections.begin() + static_cast<std::ptrdiff_t>(n) * room);
    }
  }
  NmsBatch run(const Subject& subject, NmsKind kind, float threshold, Poison poison = Poison::nan) const {
    NmsBatch result = *this;
    run_nms(subject,
            {.detections = result.detections.data(),
             .counts = result.counts.data(),
             .images = static_cast<int>(counts.size()),
             .capacity = capacity,
             .kind = kind,
             .threshold = threshold,
             .beta = 0.8f},
            poison);
    return result;
  }
  // The same survivors, to the bit.
  void check_same(const NmsBatch& expected) const {
    REQUIRE(counts == expected.counts);
    for (std::size_t n = 0; n < counts.size(); ++n) {
      const std::size_t first = n * static_cast<std::size_t>(capacity), count = static_cast<std::size_t>(counts[n]);
      CHECK(std::memcmp(&detections[first], &expected.detections[first], count * sizeof(Detection)) == 0);
    }
  }

  int capacity;
  Mapped<Detection> detections;
  Mapped<std::int32_t> counts;
};

// Image by image the survivors of ref.
inline void test_nms_equals_ref(const Subject& subject) {
  Random random(3);
  for (NmsKind kind : chosen(subject, std::vector(std::begin(kNmsKinds), std::end(kNmsKinds)))) {
    for (float threshold : chosen(subject, std::vector{0.1f, 0.45f, 0.7f}, 1)) {
      const NmsBatch batch(random, {700, 0, 1, 333, 900}, 700);  // the last: more than fitted
      batch.run(subject, kind, threshold).check_same(batch.run(ref_subject(), kind, threshold));
    }
  }
}

// The same whatever the order of execution and the contents of the workspace; more candidates than fit into one tile.
inline void test_nms_deterministic(const Subject& subject) {
  Random random(4);
  const NmsBatch batch(random, subject.watched ? Ints{4500, 2} : Ints{2500, 2048, 6001, 2}, 6001);
  const NmsBatch expected = batch.run(ref_subject(), NmsKind::greedy, 0.45f);
  Poison poison = Poison::nan;
  subject.for_each_way([&] {
    batch.run(subject, NmsKind::greedy, 0.45f, poison).check_same(expected);
    poison = Poison::huge;
  });
}

// Thirty thousand candidates of eighty classes.
inline void test_nms_many(const Subject& subject) {
  Random random(5);
  const Detections many = random_candidates(random, 30000, 80, 1);
  const Detections survivors = suppress(subject, many, NmsKind::greedy, 0.45f);
  CHECK(survivors.size() > 1000);
  CHECK(survivors.size() < 30000);
  for (std::size_t i = 1; i < survivors.size(); ++i) {
    const auto key = [&](std::size_t k) {
      return std::tuple(-survivors[k].score, survivors[k].index, survivors[k].cls);
    };
    REQUIRE(key(i - 1) < key(i));
  }
  const Detections expected = suppress(cpu_subject(), many, NmsKind::greedy, 0.45f);
  REQUIRE(survivors.size() == expected.size());
  CHECK(std::memcmp(survivors.data(), expected.data(), survivors.size() * sizeof(Detection)) == 0);
}

// Scores of either sign, zeros of both, infinities; indices and classes of all values.
inline void test_nms_odd_values(const Subject& subject) {
  const float inf = INFINITY;
  const Detections odd = {detection(.1f, .5f, .1f, .1f, -1, 4),        detection(.3f, .5f, .1f, .1f, 0.0f, 3),
                          detection(.5f, .5f, .1f, .1f, -0.0f, 2),     detection(.7f, .5f, .1f, .1f, inf, 1),
                          detection(.9f, .5f, .1f, .1f, -inf, 0),      detection(.1f, .1f, .1f, .1f, -2, -5, -1),
                          detection(.3f, .1f, .1f, .1f, -2, -6, 1000), detection(.3f, .1f, .1f, .1f, -3, 8, 1000)};
  CHECK(indices(suppress(subject, odd, NmsKind::plain, .45f)) == Ints{1, 2, 3, 4, -6, -5, 0});
}

}  // namespace rook::test
