// Pools, upsampling and reorg as CUDA kernels against ref, in every storage type and order of threads.
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

struct PoolCase {
  const char* name;
  int n, h, w, c;
  PoolGeometry geometry;
  Slice in, out;
};

constexpr PoolCase kPoolCases[] = {
    {"one pixel", 1, 1, 1, 1, {1, 1, 1, 1, 0}, {}, {}},
    {"one pixel, SAME 5", 2, 1, 1, 19, {5, 5, 1, 1, 4}, {}, {}},
    {"2 / 2, odd", 2, 7, 5, 13, {2, 2, 2, 2, 1}, {}, {}},
    {"2 / 2, vectors in slices", 1, 8, 6, 32, {2, 2, 2, 2, 1}, {8, 8}, {16, 0}},
    {"2 / 1, yolov3-tiny", 1, 13, 13, 33, {2, 2, 1, 1, 1}, {}, {}},
    {"3 / 2", 1, 11, 7, 31, {3, 3, 2, 2, 2}, {2, 3}, {}},
    {"5 / 1, SPP", 1, 7, 11, 16, {5, 5, 1, 1, 4}, {}, {16, 32}},
    {"9 / 1, SPP", 1, 13, 11, 8, {9, 9, 1, 1, 8}, {0, 8}, {8, 16}},
    {"13 / 1, larger than the image", 1, 3, 5, 7, {13, 13, 1, 1, 12}, {}, {}},
    {"not square", 2, 11, 13, 11, {3, 5, 2, 3, 2}, {1, 1}, {}},
    {"stride above size", 1, 17, 13, 9, {2, 3, 5, 4, 1}, {}, {}},
    {"odd total padding", 1, 9, 10, 16, {4, 4, 3, 3, 5}, {}, {}},
};

TestTensor input_of(const PoolCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after);
}
TestTensor output_of(const PoolCase& k, DType dtype) {
  return TestTensor(dtype, k.n, k.geometry.out_h(k.h), k.geometry.out_w(k.w), k.c, k.out.before, k.out.after);
}

// Several terms may cancel: an absolute tolerance for their sum.
Tolerance sums(DType dtype) {
  Tolerance tolerance = tolerance_of(dtype);
  tolerance.absolute = std::max(tolerance.absolute, 1e-5);
  return tolerance;
}

template <class Visit>
void for_all(const Subject& subject, const PoolCase* cases, std::size_t count, Visit visit) {
  Random random(11);
  for (std::size_t i = 0; i < count; ++i)
    for (const DType dtype : subject.types) {
      CAPTURE(std::string(cases[i].name));
      CAPTURE(std::string(name_of(dtype)));
      visit(cases[i], dtype, random);
    }
}

}  // namespace

TEST_CASE("cuda maxpool: values, chosen taps and gradients") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    for_all(subject, kPoolCases, std::size(kPoolCases), [&](const PoolCase& k, DType dtype, Random& random) {
      TestTensor x = input_of(k, dtype).fill_uniform(random);
      const TestTensor x64 = doubles(x);
      TestTensor y = output_of(k, dtype), y64 = output_of(k, DType::f64);
      TestArray<std::uint16_t> taps(y.elements()), expected(y.elements());
      check_operation(
          subject, "y", {&y}, {&y64}, Grad::overwrite, random, {},  // a maximum is one of the inputs: exact
          [&] {
            taps.fill(0xdead);
            subject.maxpool_forward({.geometry = k.geometry, .x = x, .y = y, .taps = taps.data()});
          },
          [&] { ref::maxpool_forward({.geometry = k.geometry, .x = x64, .y = y64, .taps = expected.data()}); });
      check_close("taps", taps, expected, {});
      TestTensor inference = output_of(k, dtype);
      subject.maxpool_forward({.geometry = k.geometry, .x = x, .y = inference});
      CHECK(same_bits(y, inference));
      TestTensor dy = output_of(k, dtype).fill_uniform(random), dx = input_of(k, dtype), dx64 = input_of(k, DType::f64);
      const TestTensor dy64 = doubles(dy);
      for (const Grad mode : kWritingModes)
        check_operation(
            subject, "dx", {&dx}, {&dx64}, mode, random, sums(dtype),
            [&] {
              subject.maxpool_backward({.geometry = k.geometry, .dy = dy, .dx = dx, .taps = taps.data(), .mode = mode});
            },
            [&] {
              ref::maxpool_backward(
                  {.geometry = k.geometry, .dy = dy64, .dx = dx64, .taps = expected.data(), .mode = mode});
            });
    });
  });
}

TEST_CASE("cuda maxpool: ties, infinities and NaN are chosen as ref does") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double values[] = {0, -0.0, 1, 1, -1, inf, -inf, -inf, nan};
  for_each_gpu([&](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(5);
    for (const PoolGeometry& geometry : {PoolGeometry{3, 3, 2, 2, 2}, PoolGeometry{5, 5, 1, 1, 4}})
      for (const DType dtype : subject.types) {
        TestTensor x(dtype, 2, 9, 11, 24);
        for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, values[random.below(9)]);
        const int p = geometry.out_h(9), q = geometry.out_w(11);
        TestTensor y(dtype, 2, p, q, 24), y64(DType::f64, 2, p, q, 24);
        TestArray<std::uint16_t> taps(y.elements()), expected(y.elements());
        subject.maxpool_forward({.geometry = geometry, .x = x, .y = y, .taps = taps.data()});
        ref::maxpool_forward({.geometry = geometry, .x = doubles(x), .y = y64, .taps = expected.data()});
        check_close("taps", taps, expected, {});
        for (std::int64_t i = 0; i < y.elements(); ++i)
          CHECK((y.get(i) == y64.get(i) || (std::isnan(y.get(i)) && std::isnan(y64.get(i)))));
      }
  });
}

TEST_CASE("cuda local_avgpool: means over the taps inside the image, and their gradients") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    for_all(subject, kPoolCases, std::size(kPoolCases), [&](const PoolCase& k, DType dtype, Random& random) {
      TestTensor x = input_of(k, dtype).fill_uniform(random), y = output_of(k, dtype), y64 = output_of(k, DType::f64);
      const TestTensor x64 = doubles(x);
      check_operation(
          subject, "y", {&y}, {&y64}, Grad::overwrite, random, sums(dtype),
          [&] { subject.local_avgpool_forward({.geometry = k.geometry, .x = x, .y = y}); },
          [&] { ref::local_avgpool_forward({.geometry = k.geometry, .x = x64, .y = y64}); });
      TestTensor dy = output_of(k, dtype).fill_uniform(random), dx = input_of(k, dtype), dx64 = input_of(k, DType::f64);
      const TestTensor dy64 = doubles(dy);
      for (const Grad mode : kWritingModes)
        check_operation(
            subject, "dx", {&dx}, {&dx64}, mode, random, sums(dtype),
            [&] { subject.local_avgpool_backward({.geometry = k.geometry, .dy = dy, .dx = dx, .mode = mode}); },
            [&] { ref::local_avgpool_backward({.geometry = k.geometry, .dy = dy64, .dx = dx64, .mode = mode}); });
    });
  });
}

TEST_CASE("cuda avgpool: means over all pixels, and their gradients") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(12);
    for (const NhwcCase& s : subject.shapes)
      for (const DType dtype : subject.types) {
        CAPTURE(std::string(s.name));
        TestTensor x = random_tensor(s, dtype, s.in, random), y(dtype, s.n, 1, 1, s.c, s.out.before, s.out.after);
        TestTensor y64(DType::f64, s.n, 1, 1, s.c);
        const TestTensor x64 = doubles(x);
        check_operation(
            subject, "y", {&y}, {&y64}, Grad::overwrite, random, sums(dtype),
            [&] { subject.avgpool_forward({.x = x, .y = y}); }, [&] { ref::avgpool_forward({.x = x64, .y = y64}); });
        TestTensor dy(dtype, s.n, 1, 1, s.c, s.out.before, s.out.after);
        dy.fill_normal(random);
        TestTensor dx(dtype, s.n, s.h, s.w, s.c, s.in.before, s.in.after), dx64(DType::f64, s.n, s.h, s.w, s.c);
        const TestTensor dy64 = doubles(dy);
        for (const Grad mode : kWritingModes)
          check_operation(
              subject, "dx", {&dx}, {&dx64}, mode, random, sums(dtype),
              [&] { subject.avgpool_backward({.dy = dy, .dx = dx, .mode = mode}); },
              [&] { ref::avgpool_backward({.dy = dy64, .dx = dx64, .mode = mode}); });
      }
  });
}

TEST_CASE("cuda upsample: forward and backward, strides and scales") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(21);
    int index = 0;
    for (const NhwcCase& s : subject.shapes) {
      const int stride = 1 + index % 4;
      const float scale = index++ % 3 == 0 ? 1.0f : -0.3f;
      if (s.n * s.h * s.w * s.c * stride * stride > 30000) continue;
      for (const DType dtype : subject.types) {
        CAPTURE(std::string(s.name));
        TestTensor x = random_tensor(s, dtype, s.in, random);
        TestTensor y(dtype, s.n, s.h * stride, s.w * stride, s.c, s.out.before, s.out.after);
        TestTensor y64(DType::f64, s.n, s.h * stride, s.w * stride, s.c);
        const TestTensor x64 = doubles(x);
        check_operation(
            subject, "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_of(dtype),
            [&] { subject.upsample_forward({.x = x, .y = y, .stride = stride, .scale = scale}); },
            [&] { ref::upsample_forward({.x = x64, .y = y64, .stride = stride, .scale = scale}); });
        TestTensor dy = y, dx = x, dx64 = doubles(x);
        dy.fill_normal(random);
        const TestTensor dy64 = doubles(dy);
        for (const Grad mode : kWritingModes)
          check_operation(
              subject, "dx", {&dx}, {&dx64}, mode, random, sums(dtype),
              [&] { subject.upsample_backward({.dy = dy, .dx = dx, .stride = stride, .scale = scale, .mode = mode}); },
              [&] {
                ref::upsample_backward({.dy = dy64, .dx = dx64, .stride = stride, .scale = scale, .mode = mode});
              });
      }
    }
  });
}

TEST_CASE("cuda reorg: both maps, both ways, to the bit") {
  struct Case {
    int n, h, w, c, stride;
    bool legacy;
    Slice in, out;
  };
  constexpr Case kCases[] = {{1, 3, 5, 7, 1, true, {}, {}},
                             {1, 4, 4, 8, 2, true, {}, {}},
                             {2, 6, 10, 12, 2, true, {1, 0}, {0, 3}},
                             {2, 9, 3, 18, 3, true, {2, 1}, {}},
                             {2, 6, 10, 13, 2, false, {2, 3}, {1, 1}},
                             {1, 9, 15, 5, 3, false, {}, {}},
                             {1, 8, 4, 1, 4, false, {}, {3, 0}},
                             {1, 12, 8, 16, 2, false, {8, 0}, {0, 8}}};
  for_each_gpu([&](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(31);
    for (const Case& k : kCases)
      for (const DType dtype : subject.types)
        for (const bool reverse : {false, true}) {
          const int s = k.stride;
          TestTensor wide(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after);
          TestTensor deep(dtype, k.n, k.h / s, k.w / s, k.c * s * s, k.out.before, k.out.after);
          TestTensor& from = reverse ? deep : wide;
          TestTensor& to = reverse ? wide : deep;
          from.fill_normal(random);
          const TestTensor from64 = doubles(from);
          TestTensor to64 = doubles(to);
          for (const Grad mode : kWritingModes)
            check_operation(
                subject, "y", {&to}, {&to64}, mode, random, mode == Grad::overwrite ? Tolerance{} : tolerance_of(dtype),
                [&] {
                  subject.reorg(
                      {.x = from, .y = to, .stride = s, .legacy = k.legacy, .reverse = reverse, .mode = mode});
                },
                [&] {
                  ref::reorg(
                      {.x = from64, .y = to64, .stride = s, .legacy = k.legacy, .reverse = reverse, .mode = mode});
                });
        }
  });
}

}  // namespace rook::test
