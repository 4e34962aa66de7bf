// copy_channels, shortcut, scale_channels, sam, softmax, normalize_channels: cpu against ref, ref against finite
// differences.
#include <cmath>
#include <vector>

#include "base/error.h"
#include "tests/kernels/elementwise_cases.h"

namespace rook::test {

TEST_CASE("copy_channels: values of any type to any type, into and out of slices, adding or not") {
  test_copy_channels(cpu_subject());
}
TEST_CASE("shortcut_forward: two, one and several inputs, narrower and wider ones, in place") {
  test_shortcut_forward(cpu_subject());
}
TEST_CASE("shortcut_backward: narrower and wider inputs") {
  test_shortcut_backward(cpu_subject());
}
TEST_CASE("scale_channels: a gate per channel and a gate per pixel, forward and backward") {
  test_scale_channels(cpu_subject());
}
TEST_CASE("sam: forward and backward, one gradient or both") {
  test_sam(cpu_subject());
}
TEST_CASE("softmax: groups and temperatures, forward and backward; each group adds up to one") {
  test_softmax(cpu_subject());
}
TEST_CASE("softmax: a NaN among the logits is not hidden") {
  test_softmax_nan(cpu_subject());
}
TEST_CASE("normalize_channels: each kind, forward and backward") {
  test_normalize_channels(cpu_subject());
}
TEST_CASE("normalize_channels: a NaN is not hidden, and large values do not overflow") {
  test_normalize_channels_extremes(cpu_subject());
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
  SUBCASE("normalize_channels") {
    for (const ChannelNorm kind : {ChannelNorm::relu, ChannelNorm::softmax, ChannelNorm::softmax_maxval}) {
      CAPTURE(static_cast<int>(kind));
      const auto loss = [&] {
        ref::normalize_channels_forward({.x = x, .y = y, .kind = kind});
        return weighted_sum(y, weight);
      };
      ref::normalize_channels_backward({.x = x, .dy = weight, .dx = dx, .kind = kind});
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
  CHECK_THROWS_AS(cpu::normalize_channels_forward({.x = x, .y = wider}), Error);
  CHECK_THROWS_AS(cpu::normalize_channels_backward({.x = x, .dy = bf16, .dx = x}), Error);
  CHECK_THROWS_AS(ref::normalize_channels_backward({.x = x, .dy = x, .dx = taller}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .groups = 4}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .groups = 0}), Error);
  CHECK_THROWS_AS(cpu::softmax_forward({.x = x, .y = x, .temperature = 0}), Error);
  CHECK_THROWS_AS(ref::softmax_backward({.y = x, .dy = x, .dx = x, .temperature = NAN}), Error);
}

}  // namespace rook::test
