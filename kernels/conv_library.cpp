#include "kernels/conv_library.h"

namespace rook {
namespace {

LibraryTensor nhwc(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t pitch) {
  return {.dims = {n, c, h, w}, .strides = {h * w * pitch, 1, w * pitch, pitch}};
}

// What cuDNN must pad after an axis to find `out` outputs. Where both paddings may be the same they are, which more of
// its engines know; otherwise the last tap of the last output ends at it.
std::int64_t pad_after(std::int64_t in, std::int64_t before, std::int64_t taps, std::int64_t dilation,
                       std::int64_t stride, std::int64_t out) {
  const std::int64_t span = (taps - 1) * dilation + 1;
  const std::int64_t room = in + 2 * before - span;
  if (room >= 0 && room / stride + 1 == out) return before;
  return (out - 1) * stride + span - in - before;
}

}  // namespace

std::optional<LibraryConv> library_conv(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const std::int64_t cg = g.c / g.groups;
  LibraryConv conv{.x = nhwc(problem.n, g.c, problem.h, problem.w, problem.x_pitch()),
                   .y = nhwc(problem.n, g.k, problem.p(), problem.q(), problem.y_pitch()),
                   .weights = nhwc(g.k, cg, g.r, g.s, cg),
                   .bias = nhwc(1, g.k, 1, 1, g.k),
                   .pad_before = {std::int64_t{g.pad_h} * g.dilation, std::int64_t{g.pad_w} * g.dilation},
                   .stride = {g.stride_h, g.stride_w},
                   .dilation = {g.dilation, g.dilation}};
  conv.pad_after = {pad_after(problem.h, conv.pad_before[0], g.r, g.dilation, g.stride_h, problem.p()),
                    pad_after(problem.w, conv.pad_before[1], g.s, g.dilation, g.stride_w, problem.q())};
  if (conv.pad_after[0] < 0 || conv.pad_after[1] < 0) return std::nullopt;
  return conv;
}

bool is_gemm(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  return g.r == 1 && g.s == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 0 && g.pad_w == 0 && g.groups == 1;
}

// What is [rows, columns] row by row is, column by column, its transpose: x is C x pixels, y is K x pixels, and the
// weights [K, C] are C x K.
LibraryGemm library_gemm(const ConvProblem& problem) {
  using Operand = LibraryGemm::Operand;
  const std::int64_t c = problem.geometry.c, k = problem.geometry.k;
  const std::int64_t pixels = std::int64_t{problem.n} * problem.h * problem.w;
  const std::int64_t ldx = problem.x_pitch(), ldy = problem.y_pitch();
  switch (problem.direction) {
    case ConvDirection::dgrad:  // dx = weights dy
      return {.a = Operand::weights,
              .b = Operand::y,
              .d = Operand::x,
              .m = c,
              .n = pixels,
              .k = k,
              .lda = c,
              .ldb = ldy,
              .ldd = ldx};
    case ConvDirection::wgrad:  // dweights = x dy^T
      return {.a = Operand::x,
              .b = Operand::y,
              .d = Operand::weights,
              .transpose_b = true,
              .m = c,
              .n = k,
              .k = pixels,
              .lda = ldx,
              .ldb = ldy,
              .ldd = c};
    case ConvDirection::fprop:
      break;
  }
  return {.a = Operand::weights,  // y = weights^T x
          .b = Operand::x,
          .d = Operand::y,
          .transpose_a = true,
          .m = k,
          .n = pixels,
          .k = c,
          .lda = c,
          .ldb = ldx,
          .ldd = ldy};
}

}  // namespace rook
