#include "kernels/spatial.h"

#include <fmt/format.h>

#include "kernels/check.h"

namespace rook {
namespace {

void check_pair(const char* op, const Tensor& input, const Tensor& output) {
  check_tensor(op, "the input", input);
  check_tensor(op, "the output", output);
  if (input.dtype != output.dtype) {
    throw Error(fmt::format("{}: the input is {} and the output {}; give both the same type", op, name_of(input.dtype),
                            name_of(output.dtype)));
  }
}

void check_shape(const char* op, const Tensor& input, const Tensor& output, int n, int h, int w, std::int64_t c) {
  if (output.n != n || output.h != h || output.w != w || output.c != c) {
    throw Error(fmt::format("{}: {} gives [{},{},{},{}], not {}; give the other tensor that shape", op, shape_of(input),
                            n, h, w, c, shape_of(output)));
  }
}

// Every window must hold a pixel of the image: it holds for all when it does for the first and the last.
void check_axis(const char* op, const char* axis, int extent, int size, int stride, int padding, int outputs) {
  if (extent + padding < size) {
    throw Error(fmt::format("{}: window of {} is larger than the {} {} with padding {}; shrink the window", op, size,
                            axis, extent, padding));
  }
  const int offset = padding / 2;
  if (offset >= size || std::int64_t{outputs - 1} * stride - offset >= extent) {
    throw Error(fmt::format("{}: padding {} puts windows of {} wholly outside of the {} {}; use less padding", op,
                            padding, size, axis, extent));
  }
}

// `large` is on the image's side of the pool, `small` on the output's.
void check_pool(const char* op, const PoolGeometry& g, const Tensor& large, const Tensor& small) {
  check_pair(op, large, small);
  if (g.size_h < 1 || g.size_w < 1 || g.stride_h < 1 || g.stride_w < 1 || g.padding < 0) {
    throw Error(fmt::format("{}: window {}x{}, stride {}x{}, padding {}: sizes and strides must be positive", op,
                            g.size_h, g.size_w, g.stride_h, g.stride_w, g.padding));
  }
  check_axis(op, "height", large.h, g.size_h, g.stride_h, g.padding, g.out_h(large.h));
  check_axis(op, "width", large.w, g.size_w, g.stride_w, g.padding, g.out_w(large.w));
  check_shape(op, large, small, large.n, g.out_h(large.h), g.out_w(large.w), large.c);
}

void check_taps(const char* op, const PoolGeometry& g) {
  if (std::int64_t{g.size_h} * g.size_w > 65536) {
    throw Error(fmt::format("{}: window {}x{} has more taps than 16 bits number; shrink it", op, g.size_h, g.size_w));
  }
}

void check_upsample(const char* op, int stride, const Tensor& small, const Tensor& large) {
  check_pair(op, small, large);
  if (stride < 1) throw Error(fmt::format("{}: stride {} is not positive", op, stride));
  if (large.h % stride != 0 || large.w % stride != 0 || large.h / stride != small.h || large.w / stride != small.w ||
      large.n != small.n || large.c != small.c) {
    throw Error(fmt::format("{}: {} times stride {} is not {}; make the shapes agree", op, shape_of(small), stride,
                            shape_of(large)));
  }
}

}  // namespace

void check_args(const MaxPoolForward& args) {
  check_pool("maxpool_forward", args.geometry, args.x, args.y);
  if (args.taps != nullptr) check_taps("maxpool_forward", args.geometry);
}

void check_args(const MaxPoolBackward& args) {
  if (args.mode == Grad::none) return;
  check_pool("maxpool_backward", args.geometry, args.dx, args.dy);
  check_taps("maxpool_backward", args.geometry);
  if (args.taps == nullptr) throw Error("maxpool_backward: no taps; run the forward pass with taps first");
}

void check_args(const LocalAvgPoolForward& args) {
  check_pool("local_avgpool_forward", args.geometry, args.x, args.y);
}

void check_args(const LocalAvgPoolBackward& args) {
  if (args.mode == Grad::none) return;
  check_pool("local_avgpool_backward", args.geometry, args.dx, args.dy);
}

void check_args(const AvgPoolForward& args) {
  check_pair("avgpool_forward", args.x, args.y);
  check_shape("avgpool_forward", args.x, args.y, args.x.n, 1, 1, args.x.c);
}

void check_args(const AvgPoolBackward& args) {
  if (args.mode == Grad::none) return;
  check_pair("avgpool_backward", args.dx, args.dy);
  check_shape("avgpool_backward", args.dx, args.dy, args.dx.n, 1, 1, args.dx.c);
}

void check_args(const UpsampleForward& args) {
  check_upsample("upsample_forward", args.stride, args.x, args.y);
}

void check_args(const UpsampleBackward& args) {
  if (args.mode == Grad::none) return;
  check_upsample("upsample_backward", args.stride, args.dx, args.dy);
}

void check_args(const Reorg& args) {
  if (args.mode == Grad::none) return;
  check_pair("reorg", args.x, args.y);
  const Tensor& large = args.reverse ? args.y : args.x;
  const Tensor& small = args.reverse ? args.x : args.y;
  const int s = args.stride;
  if (s < 1) throw Error(fmt::format("reorg: stride {} is not positive", s));
  const std::int64_t area = std::int64_t{s} * s;
  if (large.h % s != 0 || large.w % s != 0 || (args.legacy && large.c % area != 0)) {
    throw Error(fmt::format("reorg: {} does not divide by stride {}; height and width must be multiples of it{}",
                            shape_of(large), s, args.legacy ? ", channels of its square" : ""));
  }
  check_shape("reorg", large, small, large.n, large.h / s, large.w / s, large.c * area);
}

void check_args(const Dropout& args) {
  if (args.mode == Grad::none) return;
  check_pair("dropout", args.x, args.y);
  check_shape("dropout", args.x, args.y, args.x.n, args.x.h, args.x.w, args.x.c);
  if (!(args.probability >= 0 && args.probability < 1)) {
    throw Error(fmt::format("dropout: probability {} is not in [0, 1)", args.probability));
  }
  if (args.layer >= 1u << 24) throw Error(fmt::format("dropout: layer {} does not fit into 24 bits", args.layer));
}

}  // namespace rook
