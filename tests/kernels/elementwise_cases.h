// copy_channels, fill_channels, shortcut, scale_channels, sam, softmax, normalize_channels against ref, on any device.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/kernels/subject.h"

namespace rook::test {

inline Tolerance tolerance_for(DType dtype) {
  return {2e-6, tolerance_of(dtype).relative};
}

// copy_channels: values of any type to any type, into and out of slices, adding or not.
inline void test_copy_channels(const Subject& subject) {
  Random random(1);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType from : subject.types) {
      for (const DType to : subject.types) {
        for (const Grad mode : kWritingModes) {
          const TestTensor src = random_tensor(shape, from, shape.in, random);
          TestTensor dst = random_tensor(shape, to, shape.out, random), expected = doubles(dst);
          const TestTensor src64 = doubles(src);
          check_operation(
              subject, "dst", {&dst}, {&expected}, mode, random, tolerance_for(to),
              [&] { subject.copy_channels({.src = src, .dst = dst, .mode = mode}); },
              [&] { ref::copy_channels({.src = src64, .dst = expected, .mode = mode}); });
          CHECK(src.guards_intact());
          const TestTensor before = dst;
          subject.copy_channels({.src = src, .dst = dst, .mode = Grad::none});
          CHECK(same_bits(before, dst));
          if (from != to) continue;
          subject.copy_channels({.src = src, .dst = dst});
          CHECK(same_bits(src, dst));
        }
      }
    }
  }
}

// fill_channels fills a slice and nothing else.
inline void test_fill_channels(const Subject& subject) {
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      TestTensor x(dtype, shape.n, shape.h, shape.w, shape.c, shape.in.before, shape.in.after);
      subject.fill_channels({.dst = x, .value = -0.75f});
      const std::vector<double> values = x.to_doubles();
      CHECK(std::count(values.begin(), values.end(), -0.75) == x.elements());
      CHECK(x.guards_intact());
    }
  }
  const TestTensor bytes(DType::u8, 1, 1, 1, 3);
  CHECK_THROWS_AS(subject.fill_channels({.dst = bytes, .value = 1}), Error);
}

// shortcut_forward: two, one and several inputs, narrower and wider ones, in place.
inline void test_shortcut_forward(const Subject& subject) {
  Random random(2);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      NhwcCase narrow = shape, wide = shape;
      narrow.c = std::max(1, shape.c / 2);
      wide.c = shape.c + 5;
      const TestTensor a = random_tensor(shape, dtype, shape.in, random),
                       b = random_tensor(shape, dtype, shape.out, random);
      const TestTensor c = random_tensor(narrow, dtype, shape.out, random),
                       d = random_tensor(wide, dtype, shape.in, random);
      const TestTensor a64 = doubles(a), b64 = doubles(b), c64 = doubles(c), d64 = doubles(d);
      TestTensor y = random_tensor(shape, dtype, shape.out, random), expected = doubles(y);
      const std::vector<std::vector<Tensor>> inputs = {{a, b}, {a}, {a, c}, {a, d}, {b, a, c, d, b}};
      const std::vector<std::vector<Tensor>> inputs64 = {
          {a64, b64}, {a64}, {a64, c64}, {a64, d64}, {b64, a64, c64, d64, b64}};
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        check_operation(
            subject, "y", {&y}, {&expected}, Grad::overwrite, random, tolerance_for(dtype),
            [&] { subject.shortcut_forward({.inputs = inputs[i], .y = y}); },
            [&] { ref::shortcut_forward({.inputs = inputs64[i], .y = expected}); });
        TestTensor in_place = inputs[i][0].data == a.view().data ? a : b;
        std::vector<Tensor> same = inputs[i];
        same[0] = in_place;
        subject.shortcut_forward({.inputs = same, .y = in_place});
        CHECK(same_bits(in_place, y));
      }
      CHECK(a.guards_intact());
      CHECK(d.guards_intact());
    }
  }
}

// shortcut_backward: narrower and wider inputs.
inline void test_shortcut_backward(const Subject& subject) {
  Random random(3);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      for (const int channels : {shape.c, std::max(1, shape.c - 3), shape.c + 7}) {
        for (const Grad mode : kWritingModes) {
          NhwcCase other = shape;
          other.c = channels;
          const TestTensor dy = random_tensor(shape, dtype, shape.in, random);
          const TestTensor dy64 = doubles(dy);
          TestTensor dinput = random_tensor(other, dtype, shape.out, random), expected = doubles(dinput);
          check_operation(
              subject, "dinput", {&dinput}, {&expected}, mode, random, tolerance_for(dtype),
              [&] { subject.shortcut_backward({.dy = dy, .dinput = dinput, .mode = mode}); },
              [&] { ref::shortcut_backward({.dy = dy64, .dinput = expected, .mode = mode}); });
        }
      }
    }
  }
}

// scale_channels: a gate per channel and a gate per pixel, forward and backward.
inline void test_scale_channels(const Subject& subject) {
  Random random(4);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      for (const bool spatial : {false, true}) {
        NhwcCase gate_shape = shape;
        (spatial ? gate_shape.c : gate_shape.h) = 1;
        if (!spatial) gate_shape.w = 1;
        const TestTensor x = random_tensor(shape, dtype, shape.in, random),
                         dy = random_tensor(shape, dtype, shape.out, random);
        const TestTensor gate = random_tensor(gate_shape, dtype, shape.out, random);
        const TestTensor x64 = doubles(x), dy64 = doubles(dy), gate64 = doubles(gate);
        TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
        check_operation(
            subject, "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_for(dtype),
            [&] { subject.scale_channels_forward({.x = x, .gate = gate, .y = y}); },
            [&] { ref::scale_channels_forward({.x = x64, .gate = gate64, .y = y64}); });
        for (const Grad mode : kWritingModes) {
          TestTensor dx = random_tensor(shape, dtype, shape.in, random), dx64 = doubles(dx);
          TestTensor dgate = random_tensor(gate_shape, dtype, shape.in, random), dgate64 = doubles(dgate);
          // Sums of up to a few thousand products in float.
          const Tolerance tolerance{2e-5, tolerance_of(dtype).relative + 1e-5};
          check_operation(
              subject, "dx, dgate", {&dx, &dgate}, {&dx64, &dgate64}, mode, random, tolerance,
              [&] {
                subject.scale_channels_backward(
                    {.x = x, .gate = gate, .dy = dy, .dx = dx, .dgate = dgate, .dx_mode = mode, .dgate_mode = mode});
              },
              [&] {
                ref::scale_channels_backward({.x = x64,
                                              .gate = gate64,
                                              .dy = dy64,
                                              .dx = dx64,
                                              .dgate = dgate64,
                                              .dx_mode = mode,
                                              .dgate_mode = mode});
              });
          const TestTensor dx_before = dx, dgate_before = dgate;
          subject.scale_channels_backward(
              {.x = x, .gate = gate, .dy = dy, .dx = {}, .dgate = dgate, .dx_mode = Grad::none});
          subject.scale_channels_backward(
              {.x = x, .gate = gate, .dy = dy, .dx = dx, .dgate = {}, .dgate_mode = Grad::none});
          if (mode == Grad::overwrite) {
            CHECK(same_bits(dx, dx_before));
            CHECK(same_bits(dgate, dgate_before));
          }
        }
      }
    }
  }
}

// sam: forward and backward, one gradient or both.
inline void test_sam(const Subject& subject) {
  Random random(5);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      const TestTensor a = random_tensor(shape, dtype, shape.in, random),
                       b = random_tensor(shape, dtype, shape.out, random);
      const TestTensor dy = random_tensor(shape, dtype, shape.out, random);
      const TestTensor a64 = doubles(a), b64 = doubles(b), dy64 = doubles(dy);
      TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
      check_operation(
          subject, "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_for(dtype),
          [&] { subject.sam_forward({.a = a, .b = b, .y = y}); },
          [&] { ref::sam_forward({.a = a64, .b = b64, .y = y64}); });
      for (const Grad mode : kWritingModes) {
        TestTensor da = random_tensor(shape, dtype, shape.in, random),
                   db = random_tensor(shape, dtype, shape.out, random);
        TestTensor da64 = doubles(da), db64 = doubles(db);
        check_operation(
            subject, "da, db", {&da, &db}, {&da64, &db64}, mode, random, tolerance_for(dtype),
            [&] {
              subject.sam_backward({.a = a, .b = b, .dy = dy, .da = da, .db = db, .da_mode = mode, .db_mode = mode});
            },
            [&] {
              ref::sam_backward(
                  {.a = a64, .b = b64, .dy = dy64, .da = da64, .db = db64, .da_mode = mode, .db_mode = mode});
            });
        const TestTensor before = da;
        subject.sam_backward({.a = a, .b = b, .dy = dy, .da = {}, .db = db, .da_mode = Grad::none, .db_mode = mode});
        CHECK(same_bits(da, before));
      }
    }
  }
}

// softmax: groups and temperatures, forward and backward; each group adds up to one.
inline void test_softmax(const Subject& subject) {
  Random random(6);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      for (const int groups : {1, shape.c % 3 == 0 ? 3 : shape.c % 2 == 0 ? 2 : shape.c}) {
        const float temperature = groups == 1 ? 0.5f : 2.0f;
        TestTensor x = random_tensor(shape, dtype, shape.in, random);
        x.set(0, 60);  // far above the others
        const TestTensor x64 = doubles(x), dy = random_tensor(shape, dtype, shape.out, random), dy64 = doubles(dy);
        TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
        check_operation(
            subject, "y", {&y}, {&y64}, Grad::overwrite, random, {1e-7, tolerance_of(dtype).relative + 1e-5},
            [&] { subject.softmax_forward({.x = x, .y = y, .groups = groups, .temperature = temperature}); },
            [&] { ref::softmax_forward({.x = x64, .y = y64, .groups = groups, .temperature = temperature}); });
        const int size = shape.c / groups;
        double sum = 0;
        for (int c = 0; c < size; ++c) sum += y64.get(shape.n - 1, shape.h - 1, shape.w - 1, c);
        CHECK(sum == doctest::Approx(1));
        y64.copy_from(y);
        for (const Grad mode : kWritingModes) {
          TestTensor dx = random_tensor(shape, dtype, shape.in, random), dx64 = doubles(dx);
          check_operation(
              subject, "dx", {&dx}, {&dx64}, mode, random, {1e-5, tolerance_of(dtype).relative + 1e-5},
              [&] {
                subject.softmax_backward(
                    {.y = y, .dy = dy, .dx = dx, .groups = groups, .temperature = temperature, .mode = mode});
              },
              [&] {
                ref::softmax_backward(
                    {.y = y64, .dy = dy64, .dx = dx64, .groups = groups, .temperature = temperature, .mode = mode});
              });
        }
      }
    }
  }
}

// softmax: a NaN among the logits is not hidden.
inline void test_softmax_nan(const Subject& subject) {
  TestTensor x(DType::f32, 1, 1, 2, 21), y(DType::f32, 1, 1, 2, 21);
  for (const int where : {0, 5, 20}) {
    x.fill(1);
    x.set(0, 0, 0, where, NAN);
    subject.softmax_forward({.x = x, .y = y});
    CHECK(std::isnan(y.get(0, 0, 0, 20 - where)));
    CHECK(y.get(0, 0, 1, 3) == doctest::Approx(1 / 21.0));
  }
}

// normalize_channels: each kind, forward and backward, also in place of dy; what is far below zero too.
inline void test_normalize_channels(const Subject& subject) {
  Random random(8);
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : subject.types) {
      const double relative = tolerance_of(dtype).relative + 1e-5;
      for (const ChannelNorm kind : {ChannelNorm::relu, ChannelNorm::softmax, ChannelNorm::softmax_maxval}) {
        CAPTURE(static_cast<int>(kind));
        TestTensor x = random_tensor(shape, dtype, shape.in, random);
        x.set(0, -9);  // where the epsilon of softmax is more than its exp(x)
        const TestTensor x64 = doubles(x), dy = random_tensor(shape, dtype, shape.out, random), dy64 = doubles(dy);
        TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
        check_operation(
            subject, "y", {&y}, {&y64}, Grad::overwrite, random, {1e-7, relative},
            [&] { subject.normalize_channels_forward({.x = x, .y = y, .kind = kind}); },
            [&] { ref::normalize_channels_forward({.x = x64, .y = y64, .kind = kind}); });
        for (const Grad mode : kWritingModes) {
          TestTensor dx = random_tensor(shape, dtype, shape.in, random), dx64 = doubles(dx);
          // dy - dot cancels: what is left has the error of the larger. A lone channel of relu near 0 divides by 1e-4.
          check_operation(
              subject, "dx", {&dx}, {&dx64}, mode, random, {2e-5, relative},
              [&] { subject.normalize_channels_backward({.x = x, .dy = dy, .dx = dx, .kind = kind, .mode = mode}); },
              [&] {
                ref::normalize_channels_backward({.x = x64, .dy = dy64, .dx = dx64, .kind = kind, .mode = mode});
              });
        }
        TestTensor apart = random_tensor(shape, dtype, shape.out, random), in_place = dy;
        subject.normalize_channels_backward({.x = x, .dy = dy, .dx = apart, .kind = kind});
        subject.normalize_channels_backward({.x = x, .dy = in_place, .dx = in_place, .kind = kind});
        CHECK(same_bits(apart, in_place));
      }
    }
  }
}

// normalize_channels: a NaN is not hidden, and large values do not overflow.
inline void test_normalize_channels_extremes(const Subject& subject) {
  for (const ChannelNorm kind : {ChannelNorm::relu, ChannelNorm::softmax, ChannelNorm::softmax_maxval}) {
    CAPTURE(static_cast<int>(kind));
    TestTensor x(DType::f32, 1, 1, 2, 21), y(DType::f32, 1, 1, 2, 21), dx(DType::f32, 1, 1, 2, 21);
    x.fill(500);
    x.set(0, 0, 0, 5, NAN);
    y.fill(1);
    subject.normalize_channels_backward({.x = x, .dy = y, .dx = dx, .kind = kind});
    CHECK(std::isnan(dx.get(0, 0, 0, 20)));
    CHECK(std::isfinite(dx.get(0, 0, 1, 20)));
    subject.normalize_channels_forward({.x = x, .y = y, .kind = kind});
    CHECK(std::isnan(y.get(0, 0, 0, 20)));
    CHECK(y.get(0, 0, 1, 3) == doctest::Approx(1 / 21.0).epsilon(1e-4));
    x.fill(-500);  // nothing is left of exp(x) beside the epsilon
    subject.normalize_channels_forward({.x = x, .y = y, .kind = kind});
    CHECK(y.get(0, 0, 1, 3) == doctest::Approx(kind == ChannelNorm::softmax_maxval ? 1 / 21.0 : 0).epsilon(1e-4));
  }
}

}  // namespace rook::test
