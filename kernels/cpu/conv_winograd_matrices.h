// The small matrices of Winograd's minimal filtering, each as what it does to a vector of numbers, for kLanes channels
// at a time, in f32. A tile of kOutputs x kOutputs comes from kInputs x kInputs inputs; everything is applied to the
// columns and then to the rows.
#pragma once

#include "kernels/cpu/vec.h"

namespace rook::cpu::winograd {

// F(2x2, 3x3), from the points 0, 1, -1 and infinity.
struct Tile2 {
  static constexpr int kOutputs = 2, kInputs = 4, kPoints = kInputs * kInputs;

  // B^T d.
  static void transform_input(const Vec (&d)[4], Vec (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  }
  // G w.
  static void transform_filter(const Vec (&w)[3], Vec (&u)[4]) {
    const Vec even = 0.5f * (w[0] + w[2]), odd = 0.5f * w[1];
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
  }
  // A^T m.
  static void transform_output(const Vec (&m)[4], Vec (&y)[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }

  // Of wgrad: A e and G^T m.
  static void transform_gradient(const Vec (&e)[2], Vec (&u)[4]) {
    u[0] = e[0];
    u[1] = e[0] + e[1];
    u[2] = e[0] - e[1];
    u[3] = -e[1];
  }
  static void transform_filter_gradient(const Vec (&m)[4], Vec (&w)[3]) {
    const Vec even = 0.5f * (m[1] + m[2]);
    w[0] = m[0] + even;
    w[1] = 0.5f * (m[1] - m[2]);
    w[2] = even + m[3];
  }
};

// F(4x4, 3x3), from the points 0, near, -near, far, -far and infinity: 36 multiplications for 16 outputs, where direct
// sums take 144 and F(2x2, 3x3) takes 64. What cancels in the end is larger, and the points decide how much: the usual
// 1 and 2 lose four times as much as 3/4 and 3/2 do, which are nearly the best (1/sqrt(2) and sqrt(2)) and exact in
// binary.
struct Tile4 {
  static constexpr int kOutputs = 4, kInputs = 6, kPoints = kInputs * kInputs;
  static constexpr float kNear = 0.75f, kFar = 1.5f;
  static constexpr float kNear2 = kNear * kNear, kFar2 = kFar * kFar;
  // One over the products of a point's distances from the others.
  static constexpr float kOfZero = 1 / (kNear2 * kFar2);
  static constexpr float kOfNear = 1 / (2 * kNear2 * (kNear2 - kFar2)), kOfFar = 1 / (2 * kFar2 * (kFar2 - kNear2));

  static void transform_input(const Vec (&d)[6], Vec (&v)[6]) {
    const Vec near_even = d[4] - kFar2 * d[2], near_odd = kNear * (d[3] - kFar2 * d[1]);
    const Vec far_even = d[4] - kNear2 * d[2], far_odd = kFar * (d[3] - kNear2 * d[1]);
    v[0] = kNear2 * kFar2 * d[0] - (kNear2 + kFar2) * d[2] + d[4];
    v[1] = near_even + near_odd;
    v[2] = near_even - near_odd;
    v[3] = far_even + far_odd;
    v[4] = far_even - far_odd;
    v[5] = kNear2 * kFar2 * d[1] - (kNear2 + kFar2) * d[3] + d[5];
  }
  static void transform_filter(const Vec (&w)[3], Vec (&u)[6]) {
    const Vec near_even = kOfNear * w[0] + kOfNear * kNear2 * w[2], near_odd = kOfNear * kNear * w[1];
    const Vec far_even = kOfFar * w[0] + kOfFar * kFar2 * w[2], far_odd = kOfFar * kFar * w[1];
    u[0] = kOfZero * w[0];
    u[1] = near_even + near_odd;
    u[2] = near_even - near_odd;
    u[3] = far_even + far_odd;
    u[4] = far_even - far_odd;
    u[5] = w[2];
  }
  static void transform_output(const Vec (&m)[6], Vec (&y)[4]) {
    const Vec near_sum = m[1] + m[2], near_difference = m[1] - m[2];
    const Vec far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    y[0] = m[0] + near_sum + far_sum;
    y[1] = kNear * near_difference + kFar * far_difference;
    y[2] = kNear2 * near_sum + kFar2 * far_sum;
    y[3] = kNear2 * kNear * near_difference + kFar2 * kFar * far_difference + m[5];
  }

  static void transform_gradient(const Vec (&e)[4], Vec (&u)[6]) {
    const Vec near_even = e[0] + kNear2 * e[2], near_odd = kNear * e[1] + kNear2 * kNear * e[3];
    const Vec far_even = e[0] + kFar2 * e[2], far_odd = kFar * e[1] + kFar2 * kFar * e[3];
    u[0] = e[0];
    u[1] = near_even + near_odd;
    u[2] = near_even - near_odd;
    u[3] = far_even + far_odd;
    u[4] = far_even - far_odd;
    u[5] = e[3];
  }
  static void transform_filter_gradient(const Vec (&m)[6], Vec (&w)[3]) {
    const Vec near_even = kOfNear * (m[1] + m[2]), near_odd = kOfNear * (m[1] - m[2]);
    const Vec far_even = kOfFar * (m[3] + m[4]), far_odd = kOfFar * (m[3] - m[4]);
    w[0] = kOfZero * m[0] + near_even + far_even;
    w[1] = kNear * near_odd + kFar * far_odd;
    w[2] = kNear2 * near_even + kFar2 * far_even + m[5];
  }
};

}  // namespace rook::cpu::winograd
