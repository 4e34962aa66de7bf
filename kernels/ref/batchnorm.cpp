// Batch norm (darknet.md 2.3; Ioffe, Szegedy 2015): v = gamma x^ + beta, x^ = (z - mean) inv_std, y = act(v).
#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/ref/activation.h"
#include "kernels/ref/element.h"

namespace rook::ref {
void batchnorm_forward(const BatchNormForward& args, Stream) {
  check_args(args);
  const Elements z(args.z), y(args.y);
  const double pixels = static_cast<double>(args.z.pixels());
  for (int c = 0; c < args.z.c; ++c) {
    double mean = 0, var = 0;
    for_each_pixel(args.z, [&](int n, int h, int w) { mean += z.get(n, h, w, c) / pixels; });
    for_each_pixel(args.z, [&](int n, int h, int w) { var += std::pow(z.get(n, h, w, c) - mean, 2) / pixels; });
    const double inv_std = 1 / std::sqrt(var + args.eps);
    for_each_pixel(args.z, [&](int n, int h, int w) {
      const double v = args.gamma[c] * (z.get(n, h, w, c) - mean) * inv_std + args.beta[c];
      y.put(n, h, w, c, act(args.activation, v));
    });
    args.mean[c] = static_cast<float>(mean);
    args.inv_std[c] = static_cast<float>(inv_std);
    // One pixel has no unbiased variance; its biased one, 0, stands in.
    const double unbiased = var * pixels / std::max(1.0, pixels - 1);
    const double momentum = args.momentum;
    args.running_mean[c] = static_cast<float>((1 - momentum) * args.running_mean[c] + momentum * mean);
    args.running_var[c] = static_cast<float>((1 - momentum) * args.running_var[c] + momentum * unbiased);
  }
}

void batchnorm_inference(const BatchNormInference& args, Stream) {
  check_args(args);
  const Elements z(args.z), y(args.y);
  for_each_element(args.z, [&](int n, int h, int w, int c) {
    const double inv_std = 1 / std::sqrt(double{args.running_var[c]} + args.eps);
    const double v = args.gamma[c] * (z.get(n, h, w, c) - args.running_mean[c]) * inv_std + args.beta[c];
    y.put(n, h, w, c, act(args.activation, v));
  });
}

void batchnorm_backward(const BatchNormBackward& args, Stream) {
  check_args(args);
  const Elements z(args.z), dy(args.dy), dz(args.dz);
  const double pixels = static_cast<double>(args.z.pixels());
  for (int c = 0; c < args.z.c; ++c) {
    const double gamma = args.gamma[c], inv_std = args.inv_std[c];
    const auto normalised = [&](int n, int h, int w) { return (z.get(n, h, w, c) - args.mean[c]) * inv_std; };
    const auto dv = [&](int n, int h, int w) {
      return dy.get(n, h, w, c) * dact(args.activation, gamma * normalised(n, h, w) + args.beta[c]);
    };
    double sum = 0, sum_with_normalised = 0;
    for_each_pixel(args.z, [&](int n, int h, int w) {
      sum += dv(n, h, w);
      sum_with_normalised += dv(n, h, w) * normalised(n, h, w);
    });
    args.dbeta[c] += static_cast<float>(sum);
    args.dgamma[c] += static_cast<float>(sum_with_normalised);
    // The means are functions of z too: dz = gamma inv_std (dv - mean(dv) - x^ mean(dv x^)).
    for_each_pixel(args.z, [&](int n, int h, int w) {
      const double through_moments = (sum + normalised(n, h, w) * sum_with_normalised) / pixels;
      dz.put(n, h, w, c, gamma * inv_std * (dv(n, h, w) - through_moments));
    });
  }
}

std::size_t batchnorm_forward_workspace(const BatchNormForward&) {
  return 0;
}

std::size_t batchnorm_backward_workspace(const BatchNormBackward&) {
  return 0;
}

}  // namespace rook::ref
