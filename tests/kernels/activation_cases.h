// Activations against ref, on any device.
#pragma once

#include <string>

#include "tests/kernels/subject.h"

namespace rook::test {

// Tensors of one case: slices as it says, filled for one seed.
struct ActivationTensors {
  TestTensor x, y, dy, dx;
};

inline ActivationTensors activation_tensors(const NhwcCase& shape, DType dtype, DType gradient, Random& random) {
  ActivationTensors t{{dtype, shape.n, shape.h, shape.w, shape.c, shape.in.before, shape.in.after},
                      {gradient, shape.n, shape.h, shape.w, shape.c, shape.out.before, shape.out.after},
                      {gradient, shape.n, shape.h, shape.w, shape.c, shape.out.before, shape.out.after},
                      {gradient, shape.n, shape.h, shape.w, shape.c, shape.in.before, shape.in.after}};
  t.x.fill_normal(random, 0, 3);
  t.dy.fill_normal(random);
  return t;
}

// activation_forward, on every shape, also in place.
inline void test_activation_forward(const Subject& subject) {
  Random random(17);
  int index = 0;
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType in : subject.types) {
      for (const DType out : subject.types) {
        const auto activation = static_cast<Activation>(index++ % kActivations);
        CAPTURE(std::string(name_of(activation)));
        ActivationTensors t = activation_tensors(shape, in, out, random);
        TestTensor expected = t.y.converted(DType::f64);
        ref::activation_forward({.x = t.x.converted(DType::f64), .y = expected, .activation = activation});
        subject.activation_forward({.x = t.x, .y = t.y, .activation = activation});
        check_close("y", t.y, expected, tolerance_of(out));
        CHECK(t.x.guards_intact());
        if (in != out) continue;
        subject.activation_forward({.x = t.x, .y = t.x, .activation = activation});
        CHECK(same_bits(t.x, t.y));
      }
    }
  }
}

// activation_backward, on every shape, overwriting, accumulating, and in place.
inline void test_activation_backward(const Subject& subject) {
  Random random(19);
  int index = 0;
  for (const NhwcCase& shape : subject.shapes) {
    CAPTURE(std::string(shape.name));
    for (const DType in : subject.types) {
      for (const DType gradient : subject.types) {
        const auto activation = static_cast<Activation>(index++ % kActivations);
        CAPTURE(std::string(name_of(activation)));
        ActivationTensors t = activation_tensors(shape, in, gradient, random);
        const TestTensor x64 = t.x.converted(DType::f64), dy64 = t.dy.converted(DType::f64);
        TestTensor expected = t.dx.converted(DType::f64);
        for (const Grad mode : {Grad::overwrite, Grad::accumulate}) {
          if (mode == Grad::accumulate) {
            t.dx.fill_normal(random);
            expected.copy_from(t.dx);
          }
          ref::activation_backward({.x = x64, .dy = dy64, .dx = expected, .activation = activation, .mode = mode});
          subject.activation_backward({.x = t.x, .dy = t.dy, .dx = t.dx, .activation = activation, .mode = mode});
          check_close("dx", t.dx, expected, {1e-5, tolerance_of(gradient).relative + 4e-6});
        }
        const TestTensor before = t.dx;
        subject.activation_backward({.x = t.x, .dy = t.dy, .dx = t.dx, .activation = activation, .mode = Grad::none});
        CHECK(same_bits(before, t.dx));
        subject.activation_backward({.x = t.x, .dy = t.dy, .dx = t.dx, .activation = activation});
        subject.activation_backward({.x = t.x, .dy = t.dy, .dx = t.dy, .activation = activation});
        CHECK(same_bits(t.dy, t.dx));
      }
    }
  }
}

}  // namespace rook::test
