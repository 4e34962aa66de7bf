// Reorg: the legacy index map of darknet worked out by hand and formulated a second time, the plain one, inverses.
#include "base/error.h"
#include "tests/kernels/reorg_cases.h"

using namespace rook;
using namespace rook::test;

namespace {

// Element `index` of the planar (channel, row, column) order of image n, in the dense NHWC order of TestTensor.
std::int64_t planar(const Tensor& t, int n, std::int64_t index) {
  const std::int64_t x = index % t.w, y = index / t.w % t.h, c = index / (t.w * t.h);
  return ((n * t.h + y) * t.w + x) * t.c + c;
}

// x holds its own planar index, plus a multiple of 10000 per image.
void fill_with_planar_indices(TestTensor& t) {
  const Tensor& v = t;
  const std::int64_t per_image = v.elements() / v.n;
  for (int n = 0; n < v.n; ++n)
    for (std::int64_t i = 0; i < per_image; ++i) t.set(planar(v, n, i), static_cast<double>(10000 * n + i));
}

}  // namespace

TEST_CASE("legacy reorg of 4x4x8 by hand") {
  // 8 channels, stride 2: the map reads the input as 2 channels of 8x8. Of each row of the 4x4 images that it writes,
  // elements are 0, 2, 4, 6 further along a row of 8; rows are 2 * 8 further; and the eight images begin at: channel 0,
  // channel 1 (64), each shifted by nothing, by a column (+1), by a row (+8), by both (+9). The 128 values in that
  // order are then cut into 32 channels of 2x2.
  const int firsts[32] = {0, 16, 32, 48, 64, 80, 96,  112, 1, 17, 33, 49, 65, 81, 97,  113,
                          8, 24, 40, 56, 72, 88, 104, 120, 9, 25, 41, 57, 73, 89, 105, 121};
  for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    TestTensor x(dtype, 1, 4, 4, 8), y(dtype, 1, 2, 2, 32);
    fill_with_planar_indices(x);
    ref::reorg({.x = x, .y = y});
    for (int k = 0; k < 32; ++k) {
      CHECK(y.get(0, 0, 0, k) == firsts[k]);
      CHECK(y.get(0, 0, 1, k) == firsts[k] + 2);
      CHECK(y.get(0, 1, 0, k) == firsts[k] + 4);
      CHECK(y.get(0, 1, 1, k) == firsts[k] + 6);
    }
  }
}

TEST_CASE("legacy reorg is a transposition of (c', H, s, W, s) to (s, s, c', H, W)") {
  for (const ReorgCase& k : kReorgCases) {
    if (!k.legacy) continue;
    CAPTURE(k.name);
    TestTensor x = wide_of(k, DType::f32), y = deep_of(k, DType::f32);
    fill_with_planar_indices(x);
    cpu::reorg({.x = x, .y = y, .stride = k.stride});
    const int s = k.stride, inner = k.c / (s * s);
    std::int64_t wrong = 0;
    for (int n = 0; n < k.n; ++n) {
      std::int64_t out = 0;
      for (int r = 0; r < s; ++r)
        for (int q = 0; q < s; ++q)
          for (int c = 0; c < inner; ++c)
            for (int j = 0; j < k.h; ++j)
              for (int i = 0; i < k.w; ++i) {
                const std::int64_t strides[] = {std::int64_t{k.h} * s * k.w * s, std::int64_t{s} * k.w * s,
                                                std::int64_t{k.w} * s, s, 1};
                const std::int64_t in =
                    c * strides[0] + j * strides[1] + r * strides[2] + i * strides[3] + q * strides[4];
                wrong += !(y.get(planar(y, n, out++)) == static_cast<double>(10000 * n + in));
              }
      CHECK(out == x.elements() / k.n);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("plain reorg is space to depth, taps outside and channels inside") {
  for (const ReorgCase& k : kReorgCases) {
    if (k.legacy) continue;
    CAPTURE(k.name);
    TestTensor x = wide_of(k, DType::f32), y = deep_of(k, DType::f32);
    fill_with_planar_indices(x);
    cpu::reorg({.x = x, .y = y, .stride = k.stride, .legacy = false});
    std::int64_t wrong = 0;
    for (int n = 0; n < k.n; ++n)
      for (int h = 0; h < k.h; ++h)
        for (int w = 0; w < k.w; ++w)
          for (int c = 0; c < k.c; ++c) {
            const int s = k.stride, tap = h % s * s + w % s;
            wrong += !(y.get(n, h / s, w / s, tap * k.c + c) == x.get(n, h, w, c));
          }
    CHECK(wrong == 0);
  }
}

TEST_CASE("reorg: cpu agrees with ref in both directions and all modes") {
  test_reorg(cpu_subject());
}

TEST_CASE("reorg is a permutation, and reverse inverts it") {
  Random random(32);
  for (const ReorgCase& k : kReorgCases) {
    CAPTURE(k.name);
    TestTensor x = wide_of(k, DType::f32), y = deep_of(k, DType::f32), back = wide_of(k, DType::f32);
    for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, static_cast<double>(i));
    Reorg args{.x = x, .y = y, .stride = k.stride, .legacy = k.legacy};
    cpu::reorg(args);
    std::vector<double> values = y.to_doubles();
    std::sort(values.begin(), values.end());
    CHECK(values == x.to_doubles());
    args = {.x = y, .y = back, .stride = k.stride, .legacy = k.legacy, .reverse = true};
    cpu::reorg(args);
    CHECK(same_bits(back, x));
  }
}

TEST_CASE("reorg gives the same bits whatever the number of threads") {
  Random random(33);
  for (bool legacy : {false, true}) {
    TestTensor x = TestTensor(DType::bf16, 2, 26, 26, 64).fill_uniform(random);
    TestTensor y[2] = {TestTensor(DType::bf16, 2, 13, 13, 256), TestTensor(DType::bf16, 2, 13, 13, 256)};
    for (int i = 0; i < 2; ++i) {
      const ThreadScope scope(i + 1);
      cpu::reorg({.x = x, .y = y[i], .legacy = legacy});
    }
    CHECK(same_bits(y[0], y[1]));
  }
}

TEST_CASE("reorg refuses shapes that do not divide") {
  TestTensor x = TestTensor(DType::f32, 1, 4, 4, 6).fill(1), y(DType::f32, 1, 2, 2, 24), odd(DType::f32, 1, 5, 4, 8);
  TestTensor wrong(DType::f32, 1, 2, 2, 20), deep(DType::f32, 1, 2, 2, 32);
  for (auto* reorg : {cpu::reorg, ref::reorg}) {
    CHECK_THROWS_AS(reorg({.x = x, .y = y, .legacy = true}, {}), Error);  // 6 channels do not divide by 4
    CHECK_NOTHROW(reorg({.x = x, .y = y, .legacy = false}, {}));
    CHECK_THROWS_AS(reorg({.x = x, .y = wrong, .legacy = false}, {}), Error);
    CHECK_THROWS_AS(reorg({.x = odd, .y = deep, .legacy = true}, {}), Error);
    CHECK_THROWS_AS(reorg({.x = y, .y = x, .legacy = false}, {}), Error);
    CHECK_THROWS_AS(reorg({.x = x, .y = y, .stride = 0, .legacy = false}, {}), Error);
  }
}
