// resize against ref, on any device.
#pragma once

#include <cstdint>
#include <string>

#include "tests/kernels/subject.h"

namespace rook::test {

inline constexpr Resampling kResamplings[] = {Resampling::half_pixel, Resampling::align_corners, Resampling::area};

// What the order of a float sum may change in 0..1.
inline constexpr double kResizeF32 = 2e-6;

struct ResizePhoto {
  int width, height, channels;
  Mapped<std::uint8_t> pixels;

  Resize to(const Tensor& y, Resampling resampling, Fit fit = Fit::stretch) const {
    return {.pixels = pixels.data(),
            .width = width,
            .height = height,
            .channels = channels,
            .y = y,
            .resampling = resampling,
            .fit = fit};
  }
};

inline ResizePhoto random_resize_photo(Random& random, int width, int height, int channels) {
  ResizePhoto photo{width, height, channels, {}};
  photo.pixels.resize(static_cast<std::size_t>(width) * height * channels);
  for (auto& value : photo.pixels) value = static_cast<std::uint8_t>(random.below(256));
  return photo;
}

struct ResizeCase {
  int photo_w, photo_h, w, h, channels;
};

inline constexpr ResizeCase kResizeCases[] = {
    {1, 1, 1, 1, 3},     {1, 7, 5, 1, 3},    {17, 1, 1, 3, 1},    {13, 11, 7, 5, 3}, {7, 5, 7, 5, 3},
    {7, 5, 13, 11, 3},   {31, 29, 8, 53, 3}, {2, 3, 31, 37, 4},   {61, 47, 3, 2, 5}, {97, 89, 32, 32, 3},
    {64, 64, 32, 16, 3}, {101, 3, 10, 9, 1}, {41, 43, 40, 42, 3}, {300, 2, 7, 5, 3}, {5, 4, 100, 2, 3},
    {4001, 3, 3, 2, 3},  // longer than the line that a block holds
    {6, 5, 4, 7, 67},    // more channels than a block holds
};

// Every way of resampling and fitting, into every type, dense and into slices; the same to the bit under all
// circumstances.
inline void test_resize(const Subject& subject) {
  Random random(3);
  for (const ResizeCase& k : kResizeCases) {
    const ResizePhoto photo = random_resize_photo(random, k.photo_w, k.photo_h, k.channels);
    CAPTURE(k.photo_w);
    CAPTURE(k.w);
    for (const Resampling resampling : kResamplings) {
      CAPTURE(static_cast<int>(resampling));
      for (const Fit fit : chosen(subject, std::vector{Fit::letterbox, Fit::stretch}, 1)) {
        CAPTURE(static_cast<int>(fit));
        TestTensor exact(DType::f64, 1, k.h, k.w, k.channels, 1, 2);
        ref::resize(photo.to(exact, resampling, fit));
        std::vector<DType> types = subject.types;
        types.push_back(DType::u8);
        for (const DType dtype : types) {
          CAPTURE(std::string(name_of(dtype)));
          const int before = dtype == DType::f32 ? 0 : 5, after = dtype == DType::bf16 ? 0 : 2;
          TestTensor y(dtype, 1, k.h, k.w, k.channels, before, after);
          subject.resize(photo.to(y, resampling, fit));
          if (dtype == DType::u8) {
            const auto rounded = compare_elements(
                y.elements(), [&](std::int64_t i) { return y.get(i); },
                [&](std::int64_t i) { return 255 * exact.get(i); }, [](std::int64_t i) { return i; }, {0.501, 0});
            CHECK_MESSAGE(rounded.ok, rounded.message);
            CHECK(y.guards_intact());
          } else {
            check_close("y", y, exact, {kResizeF32, dtype == DType::f32 ? 0 : tolerance_of(dtype).relative / 2});
          }
          if (resampling != Resampling::area) continue;
          subject.for_each_way([&] {
            TestTensor again(dtype, 1, k.h, k.w, k.channels, before, after);
            subject.resize(photo.to(again.poison(Poison::huge), resampling, fit));
            CHECK(same_bits(again, y));
          });
        }
      }
    }
  }
}

// Resampled to its own size a photo is itself, exactly.
inline void test_resize_copy(const Subject& subject) {
  Random random(1);
  const ResizePhoto photo = random_resize_photo(random, 13, 7, 3);
  for (const Resampling resampling : kResamplings) {
    TestTensor bytes(DType::u8, 1, 7, 13, 3), floats(DType::f32, 1, 7, 13, 3);
    subject.resize(photo.to(bytes, resampling));
    subject.resize(photo.to(floats, resampling, Fit::letterbox));
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < bytes.elements(); ++i) {
      const std::uint8_t value = photo.pixels[static_cast<std::size_t>(i)];
      wrong += bytes.get(i) != value || static_cast<float>(floats.get(i)) != static_cast<float>(value) / 255.0f;
    }
    CHECK(wrong == 0);
  }
}

}  // namespace rook::test
