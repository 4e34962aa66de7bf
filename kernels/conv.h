// Convolution, the one operation with rival implementations: a table of rows per device, in three directions. The
// engine picks a row per problem (by name, by a tuned plan, or by the default rule: the first that supports it).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "kernels/types.h"

namespace rook {

enum class ConvDirection : std::uint8_t { fprop, dgrad, wgrad };

const char* name_of(ConvDirection direction);

// All that decides which implementation can run and how fast it is.
struct ConvProblem {
  ConvDirection direction = ConvDirection::fprop;
  ConvGeometry geometry;
  int n = 0, h = 0, w = 0;                     // input
  int pitch_x = 0, pitch_y = 0;                // from pixel to pixel of x and y: more than their channels in a slice of
                                               // a wider tensor; 0: as many (dense)
  DType x = DType::f32;                        // type of x and dx
  DType y = DType::f32;                        // type of y and dy
  bool bias = false;                           // fprop adds bias[k]
  Activation activation = Activation::linear;  // fprop applies it

  bool dense() const { return x_pitch() == geometry.c && y_pitch() == geometry.k; }
  int x_pitch() const { return pitch_x ? pitch_x : geometry.c; }
  int y_pitch() const { return pitch_y ? pitch_y : geometry.k; }
  int p() const { return geometry.out_h(h); }
  int q() const { return geometry.out_w(w); }
  double flops() const {  // 2 per multiply-add
    return 2.0 * n * p() * q() * static_cast<double>(geometry.weights());
  }
  bool operator==(const ConvProblem&) const = default;
};

struct ConvProblemHash {
  std::size_t operator()(const ConvProblem& problem) const;
};

// "fprop 52x52x128 > 256, 3x3/1, batch 8, bf16, mish": what errors and tables call a problem.
std::string describe(const ConvProblem& problem);

struct ConvArgs {
  Tensor x;                       // [N,H,W,C]; dgrad: dx, written as `mode` says
  Tensor y;                       // [N,P,Q,K]; dgrad and wgrad: dy
  const void* weights = nullptr;  // fprop, dgrad: as `pack` of the same row and problem left them
  const float* bias = nullptr;    // [K] fprop
  float* dweights = nullptr;      // [K,R,S,C/groups] f32, wgrad: accumulated
  float* dbias = nullptr;         // [K] f32, wgrad: accumulated; may be null
  Grad mode = Grad::overwrite;    // dgrad
  void* workspace = nullptr;
};

// One implementation. `supports` is exact: a row that says yes must run. It may say no where another is faster;
// `can_run` of such a row then says where it could run all the same (null: where it supports the problem).
struct ConvRow {
  std::string_view name;
  bool (*supports)(const ConvProblem&);
  std::size_t (*workspace)(const ConvProblem&);                                  // bytes
  std::size_t (*packed_bytes)(const ConvProblem&);                               // of the weights, fprop and dgrad
  void (*pack)(const ConvProblem&, const float* weights, void* packed, Stream);  // from f32 [K,R,S,C/groups]
  void (*run)(const ConvProblem&, const ConvArgs&, Stream);
  // Of a library's row only. Its name and version, "oneDNN 3.6.2"; and why it can run nothing here, in one line, empty
  // when it can (null: it always can).
  std::string (*version)() = nullptr;
  std::string (*unavailable)() = nullptr;
  bool (*can_run)(const ConvProblem&) = nullptr;

  bool ours() const { return version == nullptr; }
};

namespace cpu {
std::span<const ConvRow> conv_rows();  // in order of preference
}
namespace cuda {
std::span<const ConvRow> conv_rows();  // in order of preference
// Of the libraries this rook was built with, perhaps none; they are loaded when they are first asked for something.
std::span<const ConvRow> cudnn_rows();
std::span<const ConvRow> cublas_rows();
}  // namespace cuda
namespace emu {
std::span<const ConvRow> conv_rows();
}
namespace ref {
std::span<const ConvRow>
conv_rows();  // one row, any dtype incl. f64, double accumulation; packed weights are the f32 ones
}

// What every row checks: shapes, dtypes and density of the tensors against the problem. Throws Error.
void check_conv(const ConvProblem& problem, const ConvArgs& args);

}  // namespace rook
