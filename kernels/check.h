// Checks of arguments that every implementation of an operation makes before it touches memory. All throw Error.
#pragma once

#include <fmt/core.h>

#include <string>

#include "base/error.h"
#include "kernels/ops.h"

namespace rook {

inline std::string shape_of(const Tensor& t) {
  return fmt::format("{} [{}, {}, {}, {}] pitch {}", name_of(t.dtype), t.n, t.h, t.w, t.c, t.pitch);
}

inline void check(bool condition, const char* operation, const char* message) {
  if (!condition) throw Error(fmt::format("{}: {}", operation, message));
}

// There is data, every extent is at least 1, and pixels do not overlap.
inline void check_tensor(const char* operation, const char* name, const Tensor& t) {
  if (!t) throw Error(fmt::format("{}: {} has no data", operation, name));
  if (t.n < 1 || t.h < 1 || t.w < 1 || t.c < 1 || t.pitch < t.c) {
    throw Error(fmt::format("{}: {} has an impossible shape, {}", operation, name, shape_of(t)));
  }
}

// `t` is a tensor of the same n, h, w as `like`.
inline void check_pixels_like(const char* operation, const char* name, const Tensor& t, const char* like_name,
                              const Tensor& like) {
  check_tensor(operation, name, t);
  if (t.n != like.n || t.h != like.h || t.w != like.w) {
    throw Error(fmt::format("{}: {} is {} but {} is {}", operation, name, shape_of(t), like_name, shape_of(like)));
  }
}

// ... and of the same number of channels.
inline void check_shape_like(const char* operation, const char* name, const Tensor& t, const char* like_name,
                             const Tensor& like) {
  check_pixels_like(operation, name, t, like_name, like);
  if (t.c != like.c) {
    throw Error(fmt::format("{}: {} has {} channels but {} has {}", operation, name, t.c, like_name, like.c));
  }
}

inline void check_type_like(const char* operation, const char* name, const Tensor& t, const char* like_name,
                            const Tensor& like) {
  if (t.dtype != like.dtype) {
    throw Error(
        fmt::format("{}: {} is {} but {} is {}", operation, name, name_of(t.dtype), like_name, name_of(like.dtype)));
  }
}

// The same shape and the same dtype.
inline void check_like(const char* operation, const char* name, const Tensor& t, const char* like_name,
                       const Tensor& like) {
  check_shape_like(operation, name, t, like_name, like);
  check_type_like(operation, name, t, like_name, like);
}

// One overload per operation, in check.cpp: everything of its contract in ops.h that can be seen from the arguments,
// except which dtypes an implementation knows.
void check_args(const BatchNormForward& args);
void check_args(const BatchNormInference& args);
void check_args(const BatchNormBackward& args);
void check_args(const FoldBatchNorm& args);
void check_args(const ActivationForward& args);
void check_args(const ActivationBackward& args);
void check_args(const CopyChannels& args);
void check_args(const ShortcutForward& args);
void check_args(const ShortcutBackward& args);
void check_args(const ScaleChannelsForward& args);
void check_args(const ScaleChannelsBackward& args);
void check_args(const SamForward& args);
void check_args(const SamBackward& args);
void check_args(const SoftmaxForward& args);
void check_args(const SoftmaxBackward& args);
void check_args(const NormalizeChannelsForward& args);
void check_args(const NormalizeChannelsBackward& args);
void check_args(const GradientNorm& args);
void check_args(const SgdUpdate& args);
void check_args(const AdamWUpdate& args);
void check_args(const MuonUpdate& args);
void check_args(const EmaUpdate& args);
void check_args(const AdvanceStep& args);
void check_args(const LimitGradient& args);

// scale_channels: the gate is [N,H,W,1], one factor per pixel, and not [N,1,1,C], one per channel.
inline bool is_spatial_gate(const Tensor& x, const Tensor& gate) {
  return gate.c == 1 && gate.h == x.h && gate.w == x.w && !(x.c == 1 && x.h == 1 && x.w == 1);
}

}  // namespace rook
