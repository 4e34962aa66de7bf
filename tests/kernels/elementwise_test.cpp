// copy_channels, shortcut, scale_channels, sam, softmax: cpu against ref, ref against finite differences.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "base/error.h"
#include "kernels/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace rook::test {
namespace {

constexpr Grad kModes[] = {Grad::overwrite, Grad::accumulate};

TestTensor random_tensor(const NhwcCase& s, DType dtype, Slice slice, Random& random) {
  TestTensor t(dtype, s.n, s.h, s.w, s.c, slice.before, slice.after);
  t.fill_normal(random);
  return t;
}

TestTensor doubles(const TestTensor& t) {
  return t.converted(DType::f64);
}

// Runs the same operation on cpu with one and two threads and different poison, and on ref in f64, and compares.
// `outputs` names the tensors that it writes, all of `accumulated` hold values before.
void check_operation(const std::string& what, std::vector<TestTensor*> outputs, std::vector<TestTensor*> references,
                     Grad mode, Random& random, Tolerance tolerance, const std::function<void()>& run,
                     const std::function<void()>& run_reference) {
  std::vector<TestTensor> before, first;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (mode == Grad::accumulate)
      outputs[i]->fill_normal(random);
    else
      outputs[i]->poison(Poison::nan);
    references[i]->copy_from(*outputs[i]);
    before.push_back(*outputs[i]);
  }
  {
    const ThreadScope threads(1);
    run();
  }
  run_reference();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check_close(what, *outputs[i], *references[i], tolerance);
    first.push_back(*outputs[i]);
    if (mode == Grad::accumulate)
      outputs[i]->copy_from(before[i]);
    else
      outputs[i]->poison(Poison::huge);
  }
  const ThreadScope threads(2);
  run();
  for (std::size_t i = 0; i < outputs.size(); ++i) CHECK_MESSAGE(same_bits(first[i], *outputs[i]), what);
}

Tolerance tolerance_for(DType dtype) {
  return {2e-6, tolerance_of(dtype).relative};
}

}  // namespace

TEST_CASE("copy_channels: values of any type to any type, into and out of slices, adding or not") {
  Random random(1);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType from : kStorageTypes) {
      for (const DType to : kStorageTypes) {
        for (const Grad mode : kModes) {
          const TestTensor src = random_tensor(shape, from, shape.in, random);
          TestTensor dst = random_tensor(shape, to, shape.out, random), expected = doubles(dst);
          const TestTensor src64 = doubles(src);
          check_operation(
              "dst", {&dst}, {&expected}, mode, random, tolerance_for(to),
              [&] { cpu::copy_channels({.src = src, .dst = dst, .mode = mode}); },
              [&] { ref::copy_channels({.src = src64, .dst = expected, .mode = mode}); });
          CHECK(src.guards_intact());
          const TestTensor before = dst;
          cpu::copy_channels({.src = src, .dst = dst, .mode = Grad::none});
          CHECK(same_bits(before, dst));
          if (from != to) continue;
          cpu::copy_channels({.src = src, .dst = dst});
          CHECK(same_bits(src, dst));
        }
      }
    }
  }
}

TEST_CASE("shortcut_forward: two, one and several inputs, narrower and wider ones, in place") {
  Random random(2);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : kStorageTypes) {
      NhwcCase narrow = shape, wide = shape;
      narrow.c = std::max(1, shape.c / 2);
      wide.c = shape.c + 5;
      const TestTensor a = random_tensor(shape, dtype, shape.in, random), b = random_tensor(shape, dtype, {}, random);
      const TestTensor c = random_tensor(narrow, dtype, {}, random), d = random_tensor(wide, dtype, shape.in, random);
      const TestTensor a64 = doubles(a), b64 = doubles(b), c64 = doubles(c), d64 = doubles(d);
      TestTensor y = random_tensor(shape, dtype, shape.out, random), expected = doubles(y);
      const std::vector<std::vector<Tensor>> inputs = {{a, b}, {a}, {a, c}, {a, d}, {b, a, c, d, b}};
      const std::vector<std::vector<Tensor>> inputs64 = {
          {a64, b64}, {a64}, {a64, c64}, {a64, d64}, {b64, a64, c64, d64, b64}};
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        check_operation(
            "y", {&y}, {&expected}, Grad::overwrite, random, tolerance_for(dtype),
            [&] { cpu::shortcut_forward({.inputs = inputs[i], .y = y}); },
            [&] { ref::shortcut_forward({.inputs = inputs64[i], .y = expected}); });
        TestTensor in_place = inputs[i][0].data == a.view().data ? a : b;
        std::vector<Tensor> same = inputs[i];
        same[0] = in_place;
        cpu::shortcut_forward({.inputs = same, .y = in_place});
        CHECK(same_bits(in_place, y));
      }
      CHECK(a.guards_intact());
      CHECK(d.guards_intact());
    }
  }
}

TEST_CASE("shortcut_backward: narrower and wider inputs") {
  Random random(3);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : kStorageTypes) {
      for (const int channels : {shape.c, std::max(1, shape.c - 3), shape.c + 7}) {
        for (const Grad mode : kModes) {
          NhwcCase other = shape;
          other.c = channels;
          const TestTensor dy = random_tensor(shape, dtype, shape.in, random);
          const TestTensor dy64 = doubles(dy);
          TestTensor dinput = random_tensor(other, dtype, shape.out, random), expected = doubles(dinput);
          check_operation(
              "dinput", {&dinput}, {&expected}, mode, random, tolerance_for(dtype),
              [&] { cpu::shortcut_backward({.dy = dy, .dinput = dinput, .mode = mode}); },
              [&] { ref::shortcut_backward({.dy = dy64, .dinput = expected, .mode = mode}); });
        }
      }
    }
  }
}

TEST_CASE("scale_channels: a gate per channel and a gate per pixel, forward and backward") {
  Random random(4);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : kStorageTypes) {
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
            "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_for(dtype),
            [&] { cpu::scale_channels_forward({.x = x, .gate = gate, .y = y}); },
            [&] { ref::scale_channels_forward({.x = x64, .gate = gate64, .y = y64}); });
        for (const Grad mode : kModes) {
          TestTensor dx = random_tensor(shape, dtype, shape.in, random), dx64 = doubles(dx);
          TestTensor dgate = random_tensor(gate_shape, dtype, shape.in, random), dgate64 = doubles(dgate);
          // Sums of up to a few thousand products in float.
          const Tolerance tolerance{2e-5, tolerance_of(dtype).relative + 1e-5};
          check_operation(
              "dx, dgate", {&dx, &dgate}, {&dx64, &dgate64}, mode, random, tolerance,
              [&] {
                cpu::scale_channels_backward(
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
          cpu::scale_channels_backward(
              {.x = x, .gate = gate, .dy = dy, .dx = {}, .dgate = dgate, .dx_mode = Grad::none});
          cpu::scale_channels_backward(
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

TEST_CASE("sam: forward and backward, one gradient or both") {
  Random random(5);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : kStorageTypes) {
      const TestTensor a = random_tensor(shape, dtype, shape.in, random), b = random_tensor(shape, dtype, {}, random);
      const TestTensor dy = random_tensor(shape, dtype, shape.out, random);
      const TestTensor a64 = doubles(a), b64 = doubles(b), dy64 = doubles(dy);
      TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
      check_operation(
          "y", {&y}, {&y64}, Grad::overwrite, random, tolerance_for(dtype),
          [&] { cpu::sam_forward({.a = a, .b = b, .y = y}); },
          [&] { ref::sam_forward({.a = a64, .b = b64, .y = y64}); });
      for (const Grad mode : kModes) {
        TestTensor da = random_tensor(shape, dtype, shape.in, random),
                   db = random_tensor(shape, dtype, shape.out, random);
        TestTensor da64 = doubles(da), db64 = doubles(db);
        check_operation(
            "da, db", {&da, &db}, {&da64, &db64}, mode, random, tolerance_for(dtype),
            [&] {
              cpu::sam_backward({.a = a, .b = b, .dy = dy, .da = da, .db = db, .da_mode = mode, .db_mode = mode});
            },
            [&] {
              ref::sam_backward(
                  {.a = a64, .b = b64, .dy = dy64, .da = da64, .db = db64, .da_mode = mode, .db_mode = mode});
            });
        const TestTensor before = da;
        cpu::sam_backward({.a = a, .b = b, .dy = dy, .da = {}, .db = db, .da_mode = Grad::none, .db_mode = mode});
        CHECK(same_bits(da, before));
      }
    }
  }
}

TEST_CASE("softmax: groups and temperatures, forward and backward; each group adds up to one") {
  Random random(6);
  for (const NhwcCase& shape : kNhwcCases) {
    CAPTURE(std::string(shape.name));
    for (const DType dtype : kStorageTypes) {
      for (const int groups : {1, shape.c % 3 == 0 ? 3 : shape.c % 2 == 0 ? 2 : shape.c}) {
        const float temperature = groups == 1 ? 0.5f : 2.0f;
        TestTensor x = random_tensor(shape, dtype, shape.in, random);
        x.set(0, 60);  // far above the others
        const TestTensor x64 = doubles(x), dy = random_tensor(shape, dtype, shape.out, random), dy64 = doubles(dy);
        TestTensor y = random_tensor(shape, dtype, shape.out, random), y64 = doubles(y);
        check_operation(
            "y", {&y}, {&y64}, Grad::overwrite, random, {1e-7, tolerance_of(dtype).relative + 1e-5},
            [&] { cpu::softmax_forward({.x = x, .y = y, .groups = groups, .temperature = temperature}); },
            [&] { ref::softmax_forward({.x = x64, .y = y64, .groups = groups, .temperature = temperature}); });
        const int size = shape.c / groups;
        double sum = 0;
        for (int c = 0; c < size; ++c) sum += y64.get(shape.n - 1, shape.h - 1, shape.w - 1, c);
        CHECK(sum == doctest::Approx(1));
        y64.copy_from(y);
        for (const Grad mode : kModes) {
          TestTensor dx = random_tensor(shape, dtype, shape.in, random), dx64 = doubles(dx);
          check_operation(
              "dx", {&dx}, {&dx64}, mode, random, {1e-5, tolerance_of(dtype).relative + 1e-5},
              [&] {
                cpu::softmax_backward(
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

TEST_CASE("softmax: a NaN among the logits is not hidden") {
  TestTensor x(DType::f32, 1, 1, 2, 21), y(DType::f32, 1, 1, 2, 21);
  for (const int where : {0, 5, 20}) {
    x.fill(1);
    x.set(0, 0, 0, where, NAN);
    cpu::softmax_forward({.x = x, .y = y});
    CHECK(std::isnan(y.get(0, 0, 0, 20 - where)));
    CHECK(y.get(0, 0, 1, 3) == doctest::Approx(1 / 21.0));
  }
}

TEST_CASE("elementwise: ref backward is the derivative of ref forward, by finite differences") {
  Random random(7);
  const NhwcCase shape = {"", 2, 3, 2, 6, {}, {}};
  const auto make = [&](int h, int w, int c) {
    return random_tensor({"", 2, h, w, c, {}, {}}, DType::f64, {}, random);
  };
  TestTensor x = make(3, 2, 6), other = make(3, 2, 6), y = make(3, 2, 6), dx = make(3, 2, 6), dother = make(3, 2, 6);
  const TestTensor weight = make(3, 2, 6);
  SUBCASE("shortcut") {
    TestTensor narrow = make(3, 2, 4), wide = make(3, 2, 9), dnarrow = narrow, dwide = wide;
    const std::vector<Tensor> inputs = {x, narrow, wide};
    const auto loss = [&] {
      ref::shortcut_forward({.inputs = inputs, .y = y});
      return weighted_sum(y, weight);
    };
    ref::shortcut_backward({.dy = weight, .dinput = dnarrow});
    ref::shortcut_backward({.dy = weight, .dinput = dwide});
    check_gradient("narrow", narrow, dnarrow, narrow.elements(), loss, random);
    check_gradient("wide", wide, dwide, wide.elements(), loss, random);
  }
  SUBCASE("scale_channels") {
    for (const bool spatial : {false, true}) {
      TestTensor gate = spatial ? make(3, 2, 1) : make(1, 1, 6), dgate = gate;
      const auto loss = [&] {
        ref::scale_channels_forward({.x = x, .gate = gate, .y = y});
        return weighted_sum(y, weight);
      };
      ref::scale_channels_backward({.x = x, .gate = gate, .dy = weight, .dx = dx, .dgate = dgate});
      check_gradient("x", x, dx, x.elements(), loss, random);
      check_gradient("gate", gate, dgate, gate.elements(), loss, random);
    }
  }
  SUBCASE("sam") {
    const auto loss = [&] {
      ref::sam_forward({.a = x, .b = other, .y = y});
      return weighted_sum(y, weight);
    };
    ref::sam_backward({.a = x, .b = other, .dy = weight, .da = dx, .db = dother});
    check_gradient("a", x, dx, x.elements(), loss, random);
    check_gradient("b", other, dother, other.elements(), loss, random);
  }
  SUBCASE("softmax") {
    for (const int groups : {1, 2}) {
      const auto loss = [&] {
        ref::softmax_forward({.x = x, .y = y, .groups = groups, .temperature = 0.75f});
        return weighted_sum(y, weight);
      };
      loss();
      ref::softmax_backward({.y = y, .dy = weight, .dx = dx, .groups = groups, .temperature = 0.75f});
      check_gradient("x", x, dx, x.elements(), loss, random);
    }
  }
  CHECK(shape.c == x.view().c);
}

TEST_CASE("elementwise: arguments that do not fit are errors") {
  TestTensor x(DType::f32, 2, 3, 4, 6), taller(DType::f32, 2, 4, 4, 6), wider(DType::f32, 2, 3, 4, 7);
  TestTensor bf16(DType::bf16, 2, 3, 4, 6), gate(DType::f32, 2, 1, 1, 5);
  CHECK_THROWS_AS(cpu::copy_channels({.src = x, .dst = wider}), Error);
  CHECK_THROWS_AS(cpu::copy_channels({.src = x, .dst = taller}), Error);
  CHECK_THROWS_AS(cpu::copy_channels({.src = {}, .dst = x}), Error);
  CHECK_THROWS_AS(cpu::shortcut_forward({.inputs = {}, .y = x}), Error);
  for (const Tensor& second : {taller.view(), bf16.view()}) {
    const std::vector<Tensor> inputs = {x, second};
    CHECK_THROWS_AS(cpu::shortcut_forward({.inputs = inputs, .y = x}), Error);
    CHECK_THROWS_AS(ref::shortcut_forward({.inputs = inputs, .y = x}), Error);
    CHECK_THROWS_AS(cpu::shortcut_backward({.dy = x, .dinput = second}), Error);
    CHECK_THROWS_AS(cpu::sam_forward({.a = x, .b = second, .y = x}), Error);
  }
  const std::vector<Tensor> first_too_wide = {wider, x};
  CHECK_THROWS_AS(cpu::shortcut_forward({.inputs = first_too_wide, .y = x}), Error);
  CHECK_THROWS_AS(cpu::scale_channels_forward({.x = x, .gate = gate, .y = x}), Error);
  CHECK_THROWS_AS(cpu::scale_channels_backward({.x = x, .gate = gate, .dy = x, .dx = x, .dgate = gate}), Error);
  CHECK_THROWS_AS(cpu::sam_backward({.a = x, .b = x, .dy = x, .da = wider, .db = x}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .groups = 4}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .groups = 0}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .temperature = 0}), Error);
  CHECK_THROWS_AS(ref::softmax_backward({.y = x, .dy = x, .dx = x, .temperature = NAN}), Error);
}

}  // namespace rook::test
