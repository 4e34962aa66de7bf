// The arguments of the operations that end a step of training: the gradient's norm, the updates of the parameters and
// their averages. A part of kernels/ops.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/types.h"

namespace rook {

// A run of parameters in the flat arena that is updated alike.
struct ParamSegment {
  std::int64_t begin = 0, end = 0;  // [begin, end) in the arena
  float lr_scale = 1;               // 0: frozen, left untouched
  float decay = 0;                  // weight decay of this segment
  std::int32_t layer = 0;           // cfg layer, for messages
};
// Sum of squares of a gradient (double, fixed order) and the last segment with a non-finite element (-1: none): the
// segments follow the layers, and what is nearest the loss is where it began.
// Segments with lr_scale 0 are left out of both: nobody computes their gradients.
struct GradientNorm {
  const float* gradient = nullptr;
  std::span<const ParamSegment> segments;  // the list itself lies in the device's memory, here and below
  double* sum_of_squares = nullptr;        // [1] out
  std::int32_t* bad_segment = nullptr;     // [1] out
  void* workspace = nullptr;               // gradient_norm_workspace(args) bytes
};
// One step of training begins: iteration and its learning rate from a table over all iterations, so that no step needs
// the host: step->iteration += 1, lr = lrs[iteration], ema_decay = ema_decays[iteration], seen += images,
// optimizer_step += 1, gradient_scale = 1.
struct AdvanceStep {
  StepState* step = nullptr;
  const float* lrs = nullptr;         // [iterations]
  const float* ema_decays = nullptr;  // [iterations], or null
  std::int64_t iterations = 0;        // the last entry holds from there on
  int images = 0;
};
// After gradient_norm: step->gradient_scale = scale * min(1, clip / (scale * norm)) (clip 0: scale alone) and
// step->bad_segment = the first bad segment ever seen.
struct LimitGradient {
  StepState* step = nullptr;
  const double* sum_of_squares = nullptr;     // [1]
  const std::int32_t* bad_segment = nullptr;  // [1]
  float scale = 1;                            // averaging
  float clip = 0;
};
// darknet.md 7.2 in PyTorch's form: v <- momentum v + (scale g + decay w); w <- w - lr lr_scale v.
struct SgdUpdate {
  float* weights = nullptr;
  const float* gradient = nullptr;  // dL/dw
  float* velocity = nullptr;
  std::span<const ParamSegment> segments;
  float lr = 0, momentum = 0.9f;
  float gradient_scale = 1;         // clipping and averaging
  const StepState* step = nullptr;  // lr, gradient_scale, bad_segment
};
// AdamW (Loshchilov & Hutter 2019): decay is decoupled, w <- w - lr lr_scale (m^ / (sqrt(v^) + eps) + decay w).
struct AdamWUpdate {
  float* weights = nullptr;
  const float* gradient = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  std::span<const ParamSegment> segments;
  float lr = 0, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
  std::int64_t optimizer_step = 1;  // from 1, for the bias correction
  float gradient_scale = 1;
  const StepState* step = nullptr;  // lr, gradient_scale, optimizer_step, bad_segment
};
// Muon (Jordan et al. 2024): the weights of a convolution behind batch norm as a matrix w [rows, cols], whose update is
// momentum made nearly orthogonal: all its directions become about equally long, also those that the gradient hardly
// shows. With g' = scale g:
//   v <- momentum v + g';  u = g' + momentum v (Nesterov's);  o = `iterations` steps of Newton and Schulz
//   (kernels/muon.h) from u / |u|, which bring its singular values near 1.
// Behind batch norm only the direction of w counts, so a step turns w by r = lr lr_scale and keeps its length:
//   w <- |w| z / |z| with z = w - r |w| o / |o|, | | being Frobenius's norm.
// A matrix of zeros, or an update of zeros, leaves w as it is.
struct MuonUpdate {
  float* weights = nullptr;         // [rows, cols]
  const float* gradient = nullptr;  // [rows, cols]
  float* velocity = nullptr;        // [rows, cols]
  int rows = 0, cols = 0;
  float lr = 0, lr_scale = 1, momentum = 0.9f;
  int iterations = 3;
  float gradient_scale = 1;
  void* workspace = nullptr;        // muon_update_workspace(args) bytes
  const StepState* step = nullptr;  // lr, gradient_scale, bad_segment
};
// average <- decay average + (1 - decay) value.
struct EmaUpdate {
  float* average = nullptr;
  const float* value = nullptr;
  std::int64_t count = 0;
  float decay = 0.99f;
  const StepState* step = nullptr;  // ema_decay as decay, bad_segment
};

}  // namespace rook
