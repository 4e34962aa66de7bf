// The optimizer element by element, in double; state is stored in float.
#include <cmath>

#include "kernels/check.h"
#include "kernels/step.h"

namespace rook::ref {

// Frozen segments do not count: nobody has computed their gradient.
void gradient_norm(const GradientNorm& args, Stream) {
  check_args(args);
  double sum = 0;
  std::int32_t bad = -1;
  for (std::size_t s = 0; s < args.segments.size(); ++s) {
    if (args.segments[s].lr_scale == 0) continue;
    for (std::int64_t i = args.segments[s].begin; i < args.segments[s].end; ++i) {
      const double g = args.gradient[i];
      sum += g * g;
      if (!std::isfinite(g)) bad = static_cast<std::int32_t>(s);
    }
  }
  *args.sum_of_squares = sum;
  *args.bad_segment = bad;
}

void sgd_update(const SgdUpdate& given, Stream) {
  const SgdUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  for (const ParamSegment& segment : args.segments) {
    if (segment.lr_scale == 0) continue;
    for (std::int64_t i = segment.begin; i < segment.end; ++i) {
      const double w = args.weights[i];
      const double g = double{args.gradient_scale} * args.gradient[i] + double{segment.decay} * w;
      const double v = double{args.momentum} * args.velocity[i] + g;
      args.velocity[i] = static_cast<float>(v);
      args.weights[i] = static_cast<float>(w - double{args.lr} * segment.lr_scale * v);
    }
  }
}

void adamw_update(const AdamWUpdate& given, Stream) {
  const AdamWUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  const double beta1 = args.beta1, beta2 = args.beta2;
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(args.optimizer_step));
  const double correction2 = 1 - std::pow(beta2, static_cast<double>(args.optimizer_step));
  for (const ParamSegment& segment : args.segments) {
    if (segment.lr_scale == 0) continue;
    for (std::int64_t i = segment.begin; i < segment.end; ++i) {
      const double g = double{args.gradient_scale} * args.gradient[i];
      const double m = beta1 * args.m[i] + (1 - beta1) * g;
      const double v = beta2 * args.v[i] + (1 - beta2) * g * g;
      const double step =
          m / correction1 / (std::sqrt(v / correction2) + args.eps) + double{segment.decay} * args.weights[i];
      args.m[i] = static_cast<float>(m);
      args.v[i] = static_cast<float>(v);
      args.weights[i] = static_cast<float>(args.weights[i] - double{args.lr} * segment.lr_scale * step);
    }
  }
}

void ema_update(const EmaUpdate& given, Stream) {
  const EmaUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  for (std::int64_t i = 0; i < args.count; ++i) {
    args.average[i] =
        static_cast<float>(double{args.decay} * args.average[i] + (1 - double{args.decay}) * args.value[i]);
  }
}

void advance_step(const AdvanceStep& args, Stream) {
  check_args(args);
  advance(args, *args.step);
}

void limit_gradient(const LimitGradient& args, Stream) {
  check_args(args);
  limit(args, std::sqrt(*args.sum_of_squares), *args.step);
}

std::size_t gradient_norm_workspace(const GradientNorm&) {
  return 0;
}

}  // namespace rook::ref
