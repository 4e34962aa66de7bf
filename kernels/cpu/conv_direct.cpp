// fprop and dgrad: an output is a sum over taps and over the channels that are read,
//
//   y[p,q]  = act(sum over r,s,c of w[r,s,c] x[p d - pad + r, q d - pad + s] + bias)
//   dx[h,w] = sum over r,s,k of w[r,s,k] dy[(h + pad - r) / d, (w + pad - s) / d], where that divides
//
// Along a row of dx the taps repeat every d pixels: it is taken as d rows whose pixels lie d apart, each like one of y.
#include "kernels/cpu/conv_direct.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/error.h"
#include "kernels/cpu/register_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"

namespace rook::cpu::direct {
namespace {

constexpr int kMostTaps = 7;  // of an axis

// Output channels in vectors, and those in groups that the sums in registers hold at once.
struct Columns {
  int channels, vecs, groups;

  explicit Columns(int count)
      : channels(count),
        vecs(static_cast<int>(divide_up(count, kLanes))),
        groups(static_cast<int>(divide_up(vecs, kMaxColumns))) {}
  int begin(int group) const { return static_cast<int>(part_begin(vecs, groups, group)); }
  int width(int group) const { return begin(group + 1) - begin(group); }
};

// What fprop and dgrad have in common: the image that is read, and the one that is written.
struct Planes {
  int in_h, in_w, depth;    // depth: channels that are summed over
  int out_h, out_w, width;  // width: channels of the output
};

Planes planes_of(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  if (p.direction == ConvDirection::dgrad)
    return {.in_h = p.p(), .in_w = p.q(), .depth = g.k, .out_h = p.h, .out_w = p.w, .width = g.c};
  return {.in_h = p.h, .in_w = p.w, .depth = g.c, .out_h = p.p(), .out_w = p.q(), .width = g.k};
}

// What an axis reads: output o = first + i * step, by tap t, reads input from + i * stride.
struct AxisTap {
  int tap, from, stride;
};
struct AxisTaps {
  int count = 0;
  std::array<AxisTap, kMostTaps> taps;

  // fprop: of output `first` on, dgrad: of every stride-th on.
  AxisTaps(bool dgrad, int first, int size, int pad, int stride) {
    for (int t = 0; t < size; ++t) {
      if (!dgrad) {
        taps[static_cast<std::size_t>(count++)] = {t, first * stride - pad + t, stride};
      } else if ((first + pad - t) % stride == 0) {
        taps[static_cast<std::size_t>(count++)] = {t, (first + pad - t) / stride, 1};
      }
    }
  }
  auto begin() const { return taps.begin(); }
  auto end() const { return taps.begin() + count; }
};

// [group][tap r, s][depth][columns of the group] f32.
void pack(const ConvProblem& problem, const float* weights, void* packed, Stream) {
  const ConvGeometry& g = problem.geometry;
  const bool dgrad = problem.direction == ConvDirection::dgrad;
  const Planes planes = planes_of(problem);
  const Columns columns(planes.width);
  const int taps = g.r * g.s;
  auto* to = static_cast<float*>(packed);
  for (int group = 0; group < columns.groups; ++group)
    for (int tap = 0; tap < taps; ++tap)
      for (int d = 0; d < planes.depth; ++d)
        for (int i = 0; i < columns.width(group) * kLanes; ++i) {
          const int channel = columns.begin(group) * kLanes + i;
          const int k = dgrad ? d : channel, c = dgrad ? channel : d;
          *to++ = channel < planes.width ? weights[(std::int64_t{k} * taps + tap) * g.c + c] : 0.0f;
        }
}

std::size_t packed_bytes(const ConvProblem& problem) {
  const Planes planes = planes_of(problem);
  return static_cast<std::size_t>(problem.geometry.r) * static_cast<std::size_t>(problem.geometry.s) *
         static_cast<std::size_t>(planes.depth) * static_cast<std::size_t>(Columns(planes.width).vecs * kLanes) *
         sizeof(float);
}

// Where a sum reads: the inputs of its first pixel, and the weights [depth][columns].
struct Source {
  const float* in;
  const float* weights;
};

// Where a sum goes: pixels `step` floats apart, of the first `count` channels of the columns.
struct Target {
  float* out;
  std::ptrdiff_t step;
  int count;
  const float* bias;  // or null
  float slope;        // of negative values
  bool add;           // to what is there
};

Vec load_lanes(const float* source, int count) {
  return count == kLanes ? load(source) : load_partial(source, count);
}

template <int Rows, int Width>
void sum_pixels(const Source* sources, int count, int depth, std::ptrdiff_t in_step, const Target& to) {
  Sums<MathF32, Rows, Width> sums;
  sums.clear();
  for (int i = 0; i < count; ++i) {
    const float* in = sources[i].in;
    const float* weights = sources[i].weights;
    for (int d = 0; d < depth; ++d, ++in, weights += Width * kLanes) sums.add(in, in_step, weights);
  }
#pragma GCC unroll 4
  for (int j = 0; j < Width; ++j) {
    const int lanes = std::min(kLanes, to.count - j * kLanes);
    const Vec bias = to.bias ? load_lanes(to.bias + j * kLanes, lanes) : Vec{};
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      float* const pixel = to.out + i * to.step + j * kLanes;
      Vec value = sums.at[i][j] + bias;
      if (to.add) value += load_lanes(pixel, lanes);
      value = select(value < Vec{}, to.slope * value, value);
      if (lanes == kLanes)
        store(pixel, value);
      else
        store_partial(pixel, lanes, value);
    }
  }
}

using SumPixels = void (*)(const Source* sources, int count, int depth, std::ptrdiff_t in_step, const Target& to);

template <int Width, int... I>
constexpr std::array<SumPixels, kMaxRows> by_rows(std::integer_sequence<int, I...>) {
  return {(I < max_rows(Width) ? sum_pixels<std::min(I + 1, max_rows(Width)), Width> : nullptr)...};
}

SumPixels sum_pixels_of(int rows, int width) {
  static constexpr auto table = []<int... J>(std::integer_sequence<int, J...>) {
    return std::array{by_rows<J + 1>(std::make_integer_sequence<int, kMaxRows>{})...};
  }
  (std::make_integer_sequence<int, kMaxColumns>{});
  return table[static_cast<std::size_t>(width - 1)][static_cast<std::size_t>(rows - 1)];
}

// Outputs first, first + step, ... of one row.
class Line {
 public:
  Line(const ConvProblem& problem, const Planes& planes, int row, int first)
      : g_(problem.geometry),
        planes_(planes),
        dgrad_(problem.direction == ConvDirection::dgrad),
        rows_(dgrad_, row, g_.r, g_.pad_h, g_.stride_h),
        columns_(dgrad_, first, g_.s, g_.pad_w, g_.stride_w),
        step_(dgrad_ ? g_.stride_w : 1),
        first_(first),
        outputs_((planes.out_w - first + step_ - 1) / step_) {}

  // `in`: the image; `weights`: of the group; `to`: of the row's first pixel.
  void run(const float* in, const float* weights, int width, Target to) const {
    const int begin = inner_begin(), end = inner_end(begin);
    const std::ptrdiff_t pixel = std::ptrdiff_t{step_} * planes_.width;
    to.step = pixel;
    float* const out = to.out + std::ptrdiff_t{first_} * planes_.width;
    const auto group = [&](int from, int rows) {
      std::array<Source, kMostTaps * kMostTaps> sources;
      const int count = sources_of(in, weights, width, from, sources);
      to.out = out + from * pixel;
      sum_pixels_of(rows, width)(sources.data(), count, planes_.depth, std::ptrdiff_t{in_stride()} * planes_.depth, to);
    };
    for (int i = 0; i < begin; ++i) group(i, 1);
    const int parts = static_cast<int>(divide_up(end - begin, max_rows(width)));
    for (int part = 0; part < parts; ++part) {
      const auto from = static_cast<int>(part_begin(end - begin, parts, part));
      group(begin + from, static_cast<int>(part_begin(end - begin, parts, part + 1)) - from);
    }
    for (int i = end; i < outputs_; ++i) group(i, 1);
  }

 private:
  int in_stride() const { return dgrad_ ? 1 : g_.stride_w; }
  bool inside(int output) const {
    return std::all_of(columns_.begin(), columns_.end(), [&](const AxisTap& tap) {
      const int column = tap.from + output * tap.stride;
      return column >= 0 && column < planes_.in_w;
    });
  }
  int inner_begin() const {
    int begin = 0;
    while (begin < outputs_ && !inside(begin)) ++begin;
    return begin;
  }
  int inner_end(int begin) const {
    int end = outputs_;
    while (end > begin && !inside(end - 1)) --end;
    return end;
  }
  // Of the taps that lie inside for an output.
  int sources_of(const float* in, const float* weights, int width, int output,
                 std::array<Source, kMostTaps * kMostTaps>& sources) const {
    int count = 0;
    for (const AxisTap& row : rows_) {
      if (row.from < 0 || row.from >= planes_.in_h) continue;
      for (const AxisTap& tap : columns_) {
        const int column = tap.from + output * tap.stride;
        if (column < 0 || column >= planes_.in_w) continue;
        sources[static_cast<std::size_t>(count++)] = {
            in + (std::int64_t{row.from} * planes_.in_w + column) * planes_.depth,
            weights + (std::int64_t{row.tap} * g_.s + tap.tap) * planes_.depth * width * kLanes};
      }
    }
    return count;
  }

  const ConvGeometry& g_;
  const Planes& planes_;
  bool dgrad_;
  AxisTaps rows_, columns_;
  int step_, first_, outputs_;
};

// Activations that are one multiplication of negative values.
bool is_slope(Activation activation) {
  return activation == Activation::linear || activation == Activation::leaky || activation == Activation::relie;
}
float slope_of(Activation activation) {
  return activation == Activation::leaky ? 0.1f : activation == Activation::relie ? 0.01f : 1.0f;
}

void run_lines(const ConvProblem& problem, const ConvArgs& args) {
  const bool dgrad = problem.direction == ConvDirection::dgrad;
  const Planes planes = planes_of(problem);
  const Columns columns(planes.width);
  const auto* const in = (dgrad ? args.y : args.x).as<float>();
  auto* const out = (dgrad ? args.x : args.y).as<float>();
  const float* const bias = !dgrad && problem.bias ? args.bias : nullptr;
  const std::int64_t group_floats = std::int64_t{problem.geometry.r} * problem.geometry.s * planes.depth * kLanes;
  const int lines = dgrad ? std::min(problem.geometry.stride_w, planes.out_w) : 1;
  parallel_for(std::int64_t{problem.n} * planes.out_h, static_cast<std::int64_t>(problem.flops()), [&](std::int64_t i) {
    const std::int64_t image = i / planes.out_h;
    const auto row = static_cast<int>(i % planes.out_h);
    for (int group = 0; group < columns.groups; ++group) {
      const int channel = columns.begin(group) * kLanes;
      const Target to{.out = out + i * planes.out_w * planes.width + channel,
                      .step = 0,
                      .count = planes.width - channel,
                      .bias = bias ? bias + channel : nullptr,
                      .slope = dgrad ? 1.0f : slope_of(problem.activation),
                      .add = dgrad && args.mode == Grad::accumulate};
      for (int first = 0; first < lines; ++first)
        Line(problem, planes, row, first)
            .run(in + image * planes.in_h * planes.in_w * planes.depth,
                 static_cast<const float*>(args.weights) + columns.begin(group) * group_floats, columns.width(group),
                 to);
    }
  });
}

// Measured on Zen 3 (AVX2) beside oneDNN 2.6, whose kernels for AVX-512 are better than those for AVX2.
bool pays(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  return kLanes == 8 && g.stride_h > 1 && g.stride_w > 1 && g.r > 1 && g.s > 1 && std::min(g.c, g.k) >= 16;
}

bool supports(const ConvProblem& problem) {
  return can_run(problem) && pays(problem);
}

std::size_t workspace(const ConvProblem& problem) {
  return problem.direction == ConvDirection::wgrad ? wgrad_bytes(problem) : 0;
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream) {
  check_conv(problem, args);
  if (!can_run(problem)) throw Error("convolution: direct runs dense f32 tensors without dilation and groups only");
  if (problem.direction == ConvDirection::wgrad) return run_wgrad(problem, args);
  run_lines(problem, args);
}

}  // namespace

bool can_run(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  return problem.dense() && g.groups == 1 && g.dilation == 1 && g.r <= kMostTaps && g.s <= kMostTaps &&
         problem.x == DType::f32 && problem.y == DType::f32 &&
         (problem.direction != ConvDirection::fprop || is_slope(problem.activation));
}

const ConvRow& conv_row() {
  static constexpr ConvRow row{.name = "direct",
                               .supports = supports,
                               .workspace = workspace,
                               .packed_bytes = packed_bytes,
                               .pack = pack,
                               .run = run,
                               .can_run = can_run};
  return row;
}

}  // namespace rook::cpu::direct
