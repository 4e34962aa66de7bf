// resize and augment as CUDA kernels: equal to the CPU's to rounding of the output type, truths and random numbers to
// the bit.
#include "tests/kernels/augment_support.h"
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

// A step of the output type in 0..1, and what the order of a float sum may change.
double step_of(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return 1;
    case DType::bf16:
      return 1.0 / 256;
    case DType::f16:
      return 1.0 / 2048;
    default:
      return 1e-6;
  }
}

}  // namespace

TEST_CASE("cuda resize: every way of scaling and fitting, into every type") {
  struct Sizes {
    int width, height, to_width, to_height, channels;
  };
  constexpr Sizes kSizes[] = {{1, 1, 3, 2, 3},     {7, 5, 7, 5, 3},     {13, 11, 5, 7, 3},
                              {31, 17, 64, 32, 3}, {64, 48, 32, 32, 1}, {101, 37, 16, 24, 3}};
  for_each_gpu([&](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(1);
    for (const Sizes& s : kSizes) {
      Mapped<std::uint8_t> pixels(static_cast<std::size_t>(s.width) * s.height * s.channels);
      for (std::uint8_t& p : pixels) p = static_cast<std::uint8_t>(random.below(256));
      for (const Resampling resampling : {Resampling::half_pixel, Resampling::align_corners, Resampling::area})
        for (const Fit fit : {Fit::stretch, Fit::letterbox})
          for (const DType dtype : {DType::u8, DType::f32, DType::bf16, DType::f16}) {
            CAPTURE(s.width);
            CAPTURE(static_cast<int>(resampling));
            CAPTURE(static_cast<int>(fit));
            CAPTURE(std::string(name_of(dtype)));
            TestTensor y(dtype, 1, s.to_height, s.to_width, s.channels, 0, 2);
            TestTensor reference(dtype == DType::u8 ? DType::u8 : DType::f64, 1, s.to_height, s.to_width, s.channels);
            Resize args{.pixels = pixels.data(),
                        .width = s.width,
                        .height = s.height,
                        .channels = s.channels,
                        .y = y,
                        .resampling = resampling,
                        .fit = fit};
            subject.resize(args);
            args.y = reference;
            ref::resize(args);
            check_close("y", y, reference, {step_of(dtype), 0});
          }
    }
  });
}

TEST_CASE("cuda augment: pictures and truths of the CPU, by number of iteration and by the state of a step") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(2);
    std::vector<AugmentPhoto> photos;
    for (int i = 0; i < 5; ++i) photos.push_back(random_photo(random, 40 + 7 * i, 30 + 5 * i, 2 + 3 * i));
    // The photos in memory that a GPU reads.
    std::vector<Mapped<std::uint8_t>> pixels;
    std::vector<Mapped<Truth>> truths;
    Mapped<CachedImage> images;
    for (const AugmentPhoto& photo : photos) {
      pixels.emplace_back(photo.pixels.begin(), photo.pixels.end());
      truths.emplace_back(photo.truths.begin(), photo.truths.end());
      images.push_back(photo.view());
      images.back().pixels = pixels.back().data();
      images.back().truths = truths.back().data();
    }
    const Mapped<std::int32_t> order{4, 0, 3, 2, 1, 0, 2, 4, 1};
    Mapped<StepState> state(1);
    state[0].iteration = 2;
    constexpr int kOutputs = 3, kMaxTruths = 24;
    for (const AugmentSpec& spec : {kNothing, kGentle, kDarknet, kEverything})
      for (const DType dtype : subject.types)
        for (const bool from_state : {false, true}) {
          CAPTURE(std::string(name_of(dtype)));
          TestTensor y(dtype, kOutputs, 32, 48, 3, 0, 1), expected(DType::f32, kOutputs, 32, 48, 3);
          Mapped<Truth> boxes(kOutputs * kMaxTruths), wanted(kOutputs * kMaxTruths);
          Mapped<std::int32_t> counts(kOutputs), wanted_counts(kOutputs);
          Augment args{.images = images,
                       .order = std::span(order).subspan(6, kOutputs),
                       .spec = spec,
                       .seed = 9,
                       .iteration = 2,
                       .first_slot = 1,
                       .y = expected,
                       .truths = wanted.data(),
                       .truth_counts = wanted_counts.data(),
                       .max_truths = kMaxTruths};
          cpu::augment(args);
          args.y = y;
          args.truths = boxes.data();
          args.truth_counts = counts.data();
          if (from_state) {
            args.order = std::span(order).first(kOutputs);
            args.order_stride = kOutputs;
            args.iteration = 77;
            args.step = state.data();
          }
          subject.augment(args);
          check_close("y", y, expected, {step_of(dtype) + 2e-5, 0});
          CHECK(counts == wanted_counts);
          for (int n = 0; n < kOutputs; ++n)
            for (int t = 0; t < std::min(counts[static_cast<std::size_t>(n)], kMaxTruths); ++t) {
              const Truth &a = boxes[static_cast<std::size_t>(n * kMaxTruths + t)],
                          &b = wanted[static_cast<std::size_t>(n * kMaxTruths + t)];
              CHECK((std::abs(a.x - b.x) <= 1e-6 && std::abs(a.y - b.y) <= 1e-6 && std::abs(a.w - b.w) <= 1e-6 &&
                     std::abs(a.h - b.h) <= 1e-6 && a.cls == b.cls));
            }
        }
  });
}

}  // namespace rook::test
