// Decoding of a head's output on any device: cells by hand, comparison with ref, order, capacity, NaN.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/head_cases.h"
#include "tests/kernels/subject.h"
#include "tests/mapped.h"

namespace rook::test {

struct Decoded {
  std::vector<std::vector<Detection>> images;
  std::vector<std::int32_t> counts;
};

struct DecodeCase {
  HeadSpec head;
  Tensor logits;
  int net_w = 0, net_h = 0;
  float threshold = 0;
  int capacity = 20000;
  bool best_class = false;
};

inline Decoded decode(const Subject& subject, const DecodeCase& c) {
  Mapped<Detection> room(static_cast<std::size_t>(c.logits.n * c.capacity) + 1);
  room.back().index = 4711;
  Mapped<std::int32_t> counts(static_cast<std::size_t>(c.logits.n), 0);
  subject.head_decode({.head = c.head,
                       .logits = c.logits,
                       .net_w = c.net_w,
                       .net_h = c.net_h,
                       .threshold = c.threshold,
                       .detections = room.data(),
                       .counts = counts.data(),
                       .capacity = c.capacity,
                       .first_index = 1000,
                       .best_class = c.best_class});
  CHECK(room.back().index == 4711);
  Decoded result;
  result.counts.assign(counts.begin(), counts.end());
  for (int n = 0; n < c.logits.n; ++n) {
    const auto first = room.begin() + std::ptrdiff_t{n} * c.capacity;
    result.images.emplace_back(first, first + std::min(c.capacity, counts[static_cast<std::size_t>(n)]));
  }
  return result;
}

inline void check_same(const Decoded& actual, const Decoded& expected) {
  REQUIRE(actual.counts == expected.counts);
  for (std::size_t n = 0; n < expected.images.size(); ++n) {
    REQUIRE(actual.images[n].size() == expected.images[n].size());
    for (std::size_t i = 0; i < expected.images[n].size(); ++i) {
      const Detection &a = actual.images[n][i], &b = expected.images[n][i];
      REQUIRE(std::pair(a.index, a.cls) == std::pair(b.index, b.cls));
      check_near(a.x, b.x, 1e-6, "x");
      check_near(a.y, b.y, 1e-6, "y");
      check_near(a.w, b.w, 1e-6 + 2e-6 * b.w, "w");
      check_near(a.h, b.h, 1e-6 + 2e-6 * b.h, "h");
      check_near(a.score, b.score, 1e-6, "score");
      check_near(a.objectness, b.objectness, 1e-6, "objectness");
    }
  }
}

// One anchor of 30 x 60 pixels, one class, a 2 x 1 grid, network 100 x 200.
inline HeadSpec small_head() {
  return make_head(1, {{30, 60}}, {0});
}

// A classic cell by hand.
inline void test_decode_classic(const Subject& subject) {
  TestTensor logits(DType::f32, 1, 1, 2, 6);
  logits.fill(-50);
  // sigma(ln 3) = 3/4, sigma(-ln 3) = 1/4; e^(ln 2) = 2.
  const double values[] = {std::log(3.0), -std::log(3.0), std::log(2.0), -std::log(2.0), std::log(4.0), std::log(9.0)};
  for (int e = 0; e < 6; ++e) logits.set(0, 0, 1, e, values[e]);
  HeadSpec head = small_head();
  Decoded result = decode(subject, {head, logits, 100, 200, 0.5f});
  REQUIRE(result.counts[0] == 1);
  Detection d = result.images[0][0];
  check_near(d.x, (1 + 0.75) / 2, 1e-6, "x");
  check_near(d.y, 0.25, 1e-6, "y");
  check_near(d.w, 2 * 0.3, 1e-6, "w");
  check_near(d.h, 0.5 * 0.3, 1e-6, "h");
  check_near(d.objectness, 0.8, 1e-6, "objectness");
  check_near(d.score, 0.8 * 0.9, 1e-6, "score");
  CHECK(d.index == 1001);
  // scale_x_y 2: 2 v - 1/2.
  head.scale_x_y = 2;
  d = decode(subject, {head, logits, 100, 200, 0.5f}).images[0].at(0);
  check_near(d.x, (1 + 2 * 0.75 - 0.5) / 2, 1e-6, "x");
  check_near(d.y, 2 * 0.25 - 0.5, 1e-6, "y");
  // Above 0.72 the class is not probable enough, and strictly above is needed for the objectness.
  CHECK(decode(subject, {head, logits, 100, 200, 0.73f}).counts[0] == 0);
}

// new_coords by hand; comparisons are strict.
inline void test_decode_new_coords(const Subject& subject) {
  TestTensor logits(DType::f32, 1, 1, 2, 6);
  logits.fill(0);
  const double values[] = {0.75, 0.25, 0.5, 0.25, 0.5, 1};
  for (int e = 0; e < 6; ++e) logits.set(0, 0, 0, e, values[e]);
  HeadSpec head = small_head();
  head.new_coords = true;
  head.scale_x_y = 2;
  const Decoded result = decode(subject, {head, logits, 100, 200, 0.25f});
  REQUIRE(result.counts[0] == 1);
  const Detection d = result.images[0][0];
  check_near(d.x, 1.0 / 2, 1e-6, "x");
  check_near(d.y, 0, 1e-6, "y");
  check_near(d.w, 1 * 0.3, 1e-6, "w");
  check_near(d.h, 0.25 * 0.3, 1e-6, "h");
  check_near(d.score, 0.5, 1e-6, "score");
  CHECK(decode(subject, {head, logits, 100, 200, 0.5f}).counts[0] == 0);
  logits.set(0, 0, 0, 5, 0.5);
  CHECK(decode(subject, {head, logits, 100, 200, 0.25f}).counts[0] == 0);  // 0.25 > 0.25 is false
  CHECK(decode(subject, {head, logits, 100, 200, 0.2499f}).counts[0] == 1);
}

// A Gaussian head is less sure by the mean of its uncertainties.
inline void test_decode_gaussian(const Subject& subject) {
  HeadSpec head = small_head();
  head.kind = HeadKind::gaussian;
  TestTensor logits(DType::f32, 1, 1, 1, 10);
  logits.fill(0);
  logits.set(0, 0, 0, 4, std::log(2.0));
  logits.set(0, 0, 0, 8, std::log(4.0));
  const Decoded result = decode(subject, {head, logits, 100, 200, 0.1f});
  REQUIRE(result.counts[0] == 1);
  check_near(result.images[0][0].w, 0.6, 1e-6, "w");
  check_near(result.images[0][0].h, 0.3, 1e-6, "h");
  check_near(result.images[0][0].score, 0.8 * 0.5 * 0.5, 1e-6, "score");
}

// A region head has anchors in cells and a softmax.
inline void test_decode_region(const Subject& subject) {
  HeadSpec head = make_head(3, {{1.5f, 0.5f}}, {0});
  head.kind = HeadKind::region;
  TestTensor logits(DType::f32, 1, 1, 3, 8);
  logits.fill(-50);
  const double values[] = {0, 0, 0, std::log(2.0), 0, std::log(1.0), std::log(3.0), std::log(4.0)};
  for (int e = 0; e < 8; ++e) logits.set(0, 0, 2, e, values[e]);
  const Decoded result = decode(subject, {head, logits, 96, 32, 0.1f});
  REQUIRE(result.counts[0] == 2);
  const Detection first = result.images[0][0], second = result.images[0][1];
  check_near(first.x, 2.5 / 3, 1e-6, "x");
  check_near(first.w, 1.5 / 3, 1e-6, "w");
  check_near(first.h, 2 * 0.5 / 1, 1e-6, "h");
  CHECK(first.cls == 1);
  check_near(first.score, 0.5 * 3 / 8, 1e-6, "score");
  CHECK(second.cls == 2);
  check_near(second.score, 0.5 * 4 / 8, 1e-6, "score");
}

// All kinds of heads, storages and slices.
inline void test_decode_equals_ref(const Subject& subject) {
  Random random(1);
  const Subject ref = ref_subject();
  for (const HeadSpec& head : chosen(subject, all_kinds(), 3)) {
    for (DType dtype : subject.types) {
      for (const auto& grid : chosen(subject, std::vector<std::pair<int, int>>{{13, 11}, {5, 3}, {1, 1}}, 1)) {
        const int h = grid.first, w = grid.second;
        TestTensor logits(dtype, 3, h, w, head.anchors * head.entries(), 3, 2);
        fill_outputs(logits, head, random);
        const TestTensor exact = logits.converted(DType::f64);
        const auto check = [&](float threshold, bool best_class) {
          DecodeCase c{head, logits, 32 * w, 32 * h, threshold};
          c.best_class = best_class;
          const Decoded actual = decode(subject, c);
          c.logits = exact;
          check_same(actual, decode(ref, c));
          for (const auto& image : actual.images) {
            CHECK(std::is_sorted(image.begin(), image.end(), [](const Detection& a, const Detection& b) {
              return std::pair(a.index, a.cls) < std::pair(b.index, b.cls);
            }));
          }
        };
        check(0.005f, false);
        check(0.3f, h == 5);
        if (h < 13) check(0, false);
        CHECK(logits.guards_intact());
      }
    }
  }
}

// Many anchor cells, nearly all of them background, and many classes; the same to the bit in all circumstances.
inline void test_decode_many(const Subject& subject) {
  Random random(2);
  const HeadSpec head = make_head(80, six_anchors(), {0, 1, 2});
  TestTensor logits(DType::f32, 2, 43, 41, head.anchors * head.entries());
  fill_outputs(logits, head, random, -8);
  DecodeCase c{head, logits, 41 * 8, 43 * 8, 0.005f};
  const Decoded expected = decode(ref_subject(), c);
  REQUIRE(expected.counts[0] > 1000);
  Decoded first;
  subject.for_each_way([&] {
    const Decoded actual = decode(subject, c);
    if (first.images.empty()) {
      check_same(actual, expected);
      first = actual;
    }
    REQUIRE(actual.counts == first.counts);
    for (std::size_t n = 0; n < actual.images.size(); ++n) {
      CHECK(std::memcmp(actual.images[n].data(), first.images[n].data(), actual.images[n].size() * sizeof(Detection)) ==
            0);
    }
  });
}

// Appends, counts what does not fit, drops NaN.
inline void test_decode_appends(const Subject& subject) {
  const HeadSpec head = small_head();
  TestTensor logits(DType::f32, 1, 1, 7, 6);
  logits.fill(3);
  CHECK(decode(subject, {head, logits, 100, 200, 0.1f, 4}).counts[0] == 7);
  CHECK(decode(subject, {head, logits, 100, 200, 0.1f, 4}).images[0].at(3).index == 1003);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  logits.set(0, 0, 2, 4, nan);  // objectness
  logits.set(0, 0, 3, 5, nan);  // class
  logits.set(0, 0, 4, 2, nan);  // width
  CHECK(decode(subject, {head, logits, 100, 200, 0.0f}).counts[0] == 4);
  logits.set(0, 0, 5, 2, 1000);  // a size without bounds stays finite
  const Decoded result = decode(subject, {head, logits, 100, 200, 0.0f});
  for (const Detection& d : result.images[0]) CHECK(std::isfinite(d.w));
  // A second head appends behind the first.
  Mapped<Detection> room(20);
  Mapped<std::int32_t> count(1, 5);
  room[4].index = 77;
  subject.head_decode({.head = head,
                       .logits = logits,
                       .net_w = 100,
                       .net_h = 200,
                       .threshold = 0.1f,
                       .detections = room.data(),
                       .counts = count.data(),
                       .capacity = 20});
  CHECK(count[0] == 9);
  CHECK(room[4].index == 77);
  CHECK(room[5].index == 0);
}

}  // namespace rook::test
