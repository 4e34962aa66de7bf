// resize: hand-computed fixtures, the naive double version on odd shapes, and properties of a resampling filter.
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "tests/kernels/resize_cases.h"

namespace rook {
namespace {

using test::Random;
using test::random_resize_photo;
using test::ResizePhoto;
using test::TestTensor;

using Function = void (*)(const Resize&, Stream);
constexpr Function kBoth[] = {cpu::resize, ref::resize};

// Resizes to f32 with both implementations and compares with values in 0..255.
void check_fixture(const ResizePhoto& photo, Resampling resampling, int width, int height,
                   const std::vector<double>& expected) {
  for (const Function resize : kBoth) {
    TestTensor y(DType::f32, 1, height, width, photo.channels), bytes(DType::u8, 1, height, width, photo.channels);
    resize(photo.to(y, resampling), {});
    resize(photo.to(bytes, resampling), {});
    REQUIRE(y.elements() == static_cast<std::int64_t>(expected.size()));
    for (std::int64_t i = 0; i < y.elements(); ++i) {
      const double wanted = expected[static_cast<std::size_t>(i)];
      CHECK_MESSAGE(std::abs(y.get(i) - wanted / 255) <= test::kResizeF32, "element ", i, ": ", y.get(i) * 255,
                    " instead of ", wanted);
      CHECK(std::abs(bytes.get(i) - wanted) <= 0.5001);
    }
  }
}

}  // namespace

TEST_CASE("resize: fixtures computed by hand") {
  const ResizePhoto square{2, 2, 1, {0, 100, 200, 44}};
  check_fixture(square, Resampling::align_corners, 3, 3, {0, 50, 100, 100, 86, 72, 200, 122, 44});
  // darknet copies the last source pixel into the last output pixel, also when it is the only one.
  check_fixture(square, Resampling::align_corners, 1, 1, {44});
  check_fixture(square, Resampling::align_corners, 2, 1, {200, 44});
  check_fixture(square, Resampling::half_pixel, 1, 1, {86});

  const ResizePhoto step{2, 1, 1, {0, 100}};
  check_fixture(step, Resampling::half_pixel, 4, 1, {0, 25, 75, 100});
  check_fixture(step, Resampling::area, 4, 1, {0, 25, 75, 100});
  check_fixture(step, Resampling::align_corners, 5, 1, {0, 25, 50, 75, 100});

  // Shrinking 4 -> 2: the triangle about 1.0 of half width 2 weighs the pixels 3/4, 3/4, 1/4, 0.
  const ResizePhoto row{4, 1, 1, {70, 7, 140, 210}};
  check_fixture(row, Resampling::area, 2, 1, {(3 * 70 + 3 * 7 + 140) / 7.0, (7 + 3 * 140 + 3 * 210) / 7.0});
  check_fixture(row, Resampling::half_pixel, 2, 1, {38.5, 175});
  // 5 -> 2 without antialiasing looks at two pixels only: positions 0.75 and 3.25.
  const ResizePhoto five{5, 1, 1, {0, 80, 255, 40, 240}};
  check_fixture(five, Resampling::half_pixel, 2, 1, {60, 90});
  check_fixture(five, Resampling::align_corners, 2, 1, {0, 240});

  const ResizePhoto colours{1, 2, 3, {10, 20, 30, 110, 220, 130}};
  check_fixture(colours, Resampling::align_corners, 1, 3, {10, 20, 30, 60, 120, 80, 110, 220, 130});
}

TEST_CASE("resize: a photo of one pixel fills the output") {
  const ResizePhoto photo{1, 1, 3, {9, 99, 199}};
  for (const Resampling mode : test::kResamplings) {
    for (const Function resize : kBoth) {
      TestTensor y(DType::u8, 1, 3, 5, 3);
      resize(photo.to(y, mode), {});
      for (std::int64_t i = 0; i < y.elements(); ++i) CHECK(y.get(i) == photo.pixels[static_cast<std::size_t>(i % 3)]);
    }
  }
}

TEST_CASE("resize: the same size is a copy") {
  test::Subject reference = test::cpu_subject();
  test::test_resize_copy(reference);
  reference.resize = [](const Resize& args) { ref::resize(args); };
  test::test_resize_copy(reference);
}

TEST_CASE("resize: letterbox pads as darknet does") {
  struct Case {
    int photo_w, photo_h, w, h, left, top, width, height;
  };
  const Case cases[] = {
      {3, 2, 7, 8, 0, 2, 7, 4},    // 2 * 7 / 3 = 4 rows
      {3, 2, 7, 7, 0, 1, 7, 4},    // odd rest: one row above, two below
      {2, 5, 6, 5, 2, 0, 2, 5},    // 2 * 5 / 5 = 2 columns
      {2, 5, 7, 5, 2, 0, 2, 5},    // two columns left, three right
      {100, 1, 4, 4, 0, 1, 4, 1},  // never thinner than a pixel
      {1, 100, 4, 4, 1, 0, 1, 4}, {5, 5, 5, 5, 0, 0, 5, 5},
  };
  Random random(2);
  for (const Case& one : cases) {
    const ResizePhoto photo = random_resize_photo(random, one.photo_w, one.photo_h, 3);
    for (const Function resize : kBoth) {
      for (const DType dtype : {DType::u8, DType::f32, DType::bf16}) {
        TestTensor y(dtype, 1, one.h, one.w, 3), inner(dtype, 1, one.height, one.width, 3);
        resize(photo.to(y, Resampling::half_pixel, Fit::letterbox), {});
        resize(photo.to(inner, Resampling::half_pixel), {});
        for (int row = 0; row < one.h; ++row) {
          for (int column = 0; column < one.w; ++column) {
            const int r = row - one.top, c = column - one.left;
            const bool inside = r >= 0 && r < one.height && c >= 0 && c < one.width;
            const double expected = inside ? inner.get(0, r, c, 1) : dtype == DType::u8 ? 128 : 0.5;
            CHECK(y.get(0, row, column, 1) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("resize: cpu agrees with ref on odd shapes, storages, channels and pitches") {
  test::test_resize(test::cpu_subject());
}

TEST_CASE("resize: ref stores u8, f32 and bf16 as rounded f64") {
  Random random(4);
  const ResizePhoto photo = random_resize_photo(random, 19, 17, 3);
  TestTensor exact(DType::f64, 1, 7, 5, 3);
  ref::resize(photo.to(exact, Resampling::area));
  for (const DType dtype : {DType::u8, DType::f32, DType::bf16}) {
    TestTensor y(dtype, 1, 7, 5, 3, 1, 2);
    ref::resize(photo.to(y, Resampling::area));
    CHECK(y.guards_intact());
    for (std::int64_t i = 0; i < y.elements(); ++i) {
      if (dtype == DType::u8)
        CHECK(std::abs(y.get(i) - 255 * exact.get(i)) <= 0.5 + 1e-9);
      else
        CHECK(std::abs(y.get(i) - exact.get(i)) <= (dtype == DType::f32 ? 1e-7 : 1.0 / 256));
    }
  }
}

TEST_CASE("resize: the area filter averages what half-pixel aliases") {
  // Stripes of one pixel, shrunk by 3. Output k lies on the centre of pixel 3k + 1, which is white when k is even.
  ResizePhoto stripes{60, 4, 1, {}};
  for (int i = 0; i < 60 * 4; ++i) stripes.pixels.push_back(i % 60 % 2 ? 255 : 0);
  for (const Function resize : kBoth) {
    TestTensor area(DType::f32, 1, 4, 20, 1), point(DType::f32, 1, 4, 20, 1);
    resize(stripes.to(area, Resampling::area), {});
    resize(stripes.to(point, Resampling::half_pixel), {});
    // Away from the border the weights are 1, 2 x 2/3, 2 x 1/3 of 3: 5/9 on the pixel's own colour, 4/9 on the other.
    for (int column = 1; column < 19; ++column) {
      CHECK(std::abs(area.get(0, 2, column, 0) - (column % 2 ? 4 : 5) / 9.0) <= test::kResizeF32);
      CHECK(std::abs(point.get(0, 2, column, 0) - (column % 2 ? 0 : 1)) <= test::kResizeF32);
    }
  }
}

TEST_CASE("resize: constant stays constant and a ramp stays a ramp") {
  const ResizePhoto grey{37, 23, 3, test::Mapped<std::uint8_t>(37 * 23 * 3, 201)};
  ResizePhoto ramp{120, 90, 1, {}};
  for (int row = 0; row < 90; ++row) {
    for (int column = 0; column < 120; ++column) ramp.pixels.push_back(static_cast<std::uint8_t>(column + row));
  }
  for (const Resampling mode : test::kResamplings) {
    TestTensor flat(DType::f32, 1, 11, 13, 3), slope(DType::f32, 1, 31, 37, 1);
    cpu::resize(grey.to(flat, mode));
    for (std::int64_t i = 0; i < flat.elements(); ++i) CHECK(std::abs(flat.get(i) - 201 / 255.0) <= test::kResizeF32);
    cpu::resize(ramp.to(slope, mode));
    for (int row = 3; row < 28; ++row) {
      for (int column = 3; column < 34; ++column) {
        const double x = mode == Resampling::align_corners ? column * 119 / 36.0 : (column + 0.5) * 120 / 37 - 0.5;
        const double y = mode == Resampling::align_corners ? row * 89 / 30.0 : (row + 0.5) * 90 / 31 - 0.5;
        // The triangle sampled at whole pixels is not quite symmetric about a centre between them.
        const double slack = mode == Resampling::area ? 0.1 : 1e-3;
        CHECK(std::abs(slope.get(0, row, column, 0) * 255 - (x + y)) <= slack);
      }
    }
  }
}

TEST_CASE("resize: the same bits whatever the threads, also inside a parallel region") {
  Random random(5);
  const ResizePhoto photo = random_resize_photo(random, 211, 197, 3);
  TestTensor expected(DType::f32, 1, 53, 47, 3);
  {
    const test::ThreadScope one(1);
    cpu::resize(photo.to(expected, Resampling::area));
  }
  for (const int threads : {2, 3, 5}) {
    const test::ThreadScope scope(threads);
    TestTensor y(DType::f32, 1, 53, 47, 3);
    cpu::resize(photo.to(y, Resampling::area));
    CHECK(test::same_bits(y, expected));
  }
  std::vector<TestTensor> nested(4, TestTensor(DType::f32, 1, 53, 47, 3));
  const test::ThreadScope scope(3);
#pragma omp parallel for
  for (int i = 0; i < 4; ++i) cpu::resize(photo.to(nested[static_cast<std::size_t>(i)], Resampling::area));
  for (const TestTensor& y : nested) {
    CHECK(test::same_bits(y, expected));
    CHECK(y.guards_intact());
  }
}

TEST_CASE("resize: wrong arguments are errors") {
  const ResizePhoto photo{2, 2, 3, test::Mapped<std::uint8_t>(12)};
  TestTensor y(DType::f32, 1, 3, 3, 3), grey(DType::f32, 1, 3, 3, 1), pair(DType::f32, 2, 3, 3, 3);
  for (const Function resize : kBoth) {
    const auto fails = [&](auto change) {
      Resize args = photo.to(y, Resampling::area);
      change(args);
      CHECK_THROWS_AS(resize(args, {}), Error);
    };
    fails([](Resize& args) { args.pixels = nullptr; });
    fails([](Resize& args) { args.width = 0; });
    fails([](Resize& args) { args.height = -1; });
    fails([](Resize& args) { args.channels = 4; });
    fails([&](Resize& args) { args.y = grey; });
    fails([&](Resize& args) { args.y = pair; });
    fails([](Resize& args) { args.y.data = nullptr; });
    fails([](Resize& args) { args.y.dtype = DType::f16; });
    fails([](Resize& args) { args.y.pitch = 2; });
  }
}

}  // namespace rook
