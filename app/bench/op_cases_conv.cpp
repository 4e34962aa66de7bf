#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "app/bench/op_cases.h"
#include "kernels/bfloat16.h"
#include "kernels/float16.h"
#include "kernels/philox.h"
#include "kernels/ref/activation.h"

namespace rook::app {
namespace {

// An array of the device as doubles on the host.
std::vector<double> fetched(const Backend& backend, Stream stream, const void* data, DType type, std::int64_t count) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size_of(type));
  backend.runtime->copy(bytes.data(), data, bytes.size(), stream);
  backend.runtime->synchronize(stream);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t half = 0;
    float single = 0;
    if (type == DType::f32) {
      std::memcpy(&single, bytes.data() + 4 * i, 4);
      values[i] = single;
    } else {
      std::memcpy(&half, bytes.data() + 2 * i, 2);
      values[i] = type == DType::bf16 ? bf16_to_float(half) : f16_to_float(half);
    }
  }
  return values;
}

// The plain formula, one output at a time; padding is pad * dilation (kernels/types.h).
struct Truth64 {
  const ConvProblem& p;
  std::vector<double> x, y, w, bias;  // x [n,h,w,c], y [n,p,q,k], w [k,r,s,c/groups], bias [k]
  const ConvGeometry& g = p.geometry;
  int cg = g.c / g.groups, kg = g.k / g.groups;

  struct Sum {
    double value = 0, size = 0;  // and the sum of the absolute values: what roundings are measured by
    void add(double term) {
      value += term;
      size += std::abs(term);
    }
  };
  int in_h(int oh, int r) const { return oh * g.stride_h - g.pad_h * g.dilation + r * g.dilation; }
  int in_w(int ow, int s) const { return ow * g.stride_w - g.pad_w * g.dilation + s * g.dilation; }
  bool inside(int h, int w2) const { return h >= 0 && h < p.h && w2 >= 0 && w2 < p.w; }
  double x_at(int n, int h, int w2, int c) const { return x[((std::size_t(n) * p.h + h) * p.w + w2) * g.c + c]; }
  double y_at(int n, int oh, int ow, int k) const { return y[((std::size_t(n) * p.p() + oh) * p.q() + ow) * g.k + k]; }
  double w_at(int k, int r, int s, int c) const { return w[((std::size_t(k) * g.r + r) * g.s + s) * cg + c]; }

  Sum fprop(std::int64_t i) const {
    const int k = int(i % g.k), ow = int(i / g.k % p.q()), oh = int(i / g.k / p.q() % p.p()),
              n = int(i / g.k / p.q() / p.p());
    Sum sum;
    for (int r = 0; r < g.r; ++r)
      for (int s = 0; s < g.s; ++s)
        if (inside(in_h(oh, r), in_w(ow, s)))
          for (int c = 0; c < cg; ++c) sum.add(x_at(n, in_h(oh, r), in_w(ow, s), k / kg * cg + c) * w_at(k, r, s, c));
    if (p.bias) sum.add(bias[std::size_t(k)]);
    sum.value = ref::act(p.activation, sum.value);
    sum.size += std::abs(sum.value);  // selu's slope is above 1
    return sum;
  }
  Sum dgrad(std::int64_t i) const {
    const int c = int(i % g.c), iw = int(i / g.c % p.w), ih = int(i / g.c / p.w % p.h), n = int(i / g.c / p.w / p.h);
    Sum sum;
    for (int r = 0; r < g.r; ++r)
      for (int s = 0; s < g.s; ++s) {
        const int oh = ih + g.pad_h * g.dilation - r * g.dilation, ow = iw + g.pad_w * g.dilation - s * g.dilation;
        if (oh < 0 || ow < 0 || oh % g.stride_h || ow % g.stride_w) continue;
        if (oh / g.stride_h >= p.p() || ow / g.stride_w >= p.q()) continue;
        for (int k = c / cg * kg; k < (c / cg + 1) * kg; ++k)
          sum.add(y_at(n, oh / g.stride_h, ow / g.stride_w, k) * w_at(k, r, s, c % cg));
      }
    return sum;
  }
  Sum wgrad(std::int64_t i) const {
    const int c = int(i % cg), s = int(i / cg % g.s), r = int(i / cg / g.s % g.r), k = int(i / cg / g.s / g.r);
    Sum sum;
    for (int n = 0; n < p.n; ++n)
      for (int oh = 0; oh < p.p(); ++oh)
        for (int ow = 0; ow < p.q(); ++ow)
          if (inside(in_h(oh, r), in_w(ow, s)))
            sum.add(x_at(n, in_h(oh, r), in_w(ow, s), k / kg * cg + c) * y_at(n, oh, ow, k));
    return sum;
  }
  Sum bias_gradient(std::int64_t k) const {
    Sum sum;
    for (std::size_t i = std::size_t(k); i < y.size(); i += std::size_t(g.k)) sum.add(y[i]);
    return sum;
  }
};

struct ConvMemory {
  Tensor x, y;
  float *weights = nullptr, *dweights = nullptr;
  float *bias = nullptr, *dbias = nullptr;
};

// x, y and weights of a problem, with what the direction writes still zero.
ConvMemory allocate(OpData& d, const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  const bool dgrad = p.direction == ConvDirection::dgrad, fprop = p.direction == ConvDirection::fprop;
  ConvMemory m;
  m.x = dgrad ? d.out_of(p.x, p.h, p.w, g.c) : d.in_of(p.x, p.h, p.w, g.c);
  m.y = fprop ? d.out_of(p.y, p.p(), p.q(), g.k) : d.in_of(p.y, p.p(), p.q(), g.k);
  if (p.direction == ConvDirection::wgrad)
    m.dweights = static_cast<float*>(d.scratch(static_cast<std::size_t>(g.weights()) * sizeof(float)));
  else
    m.weights = d.in_floats(g.weights());
  if (p.bias && fprop) m.bias = d.in_floats(g.k);
  if (p.bias && m.dweights) m.dbias = static_cast<float*>(d.scratch(static_cast<std::size_t>(g.k) * sizeof(float)));
  return m;
}

std::function<void()> runner(OpData& d, const ConvProblem& problem, const ConvRow& row, const ConvMemory& m,
                             Grad mode = Grad::overwrite) {
  ConvArgs args{.x = m.x,
                .y = m.y,
                .bias = m.bias,
                .dweights = m.dweights,
                .dbias = m.dbias,
                .mode = mode,
                .workspace = d.scratch(row.workspace(problem))};
  if (m.weights) {
    void* const packed = d.scratch(row.packed_bytes(problem));
    row.pack(problem, m.weights, packed, d.stream());
    args.weights = packed;
  }
  const ConvRow* const chosen = &row;
  return [problem, args, chosen, &d] { chosen->run(problem, args, d.stream()); };
}

// What a sum may be off by, of the sum of its absolute terms: operands rounded to bf16 or f16 (Winograd rounds its
// transformed ones), f32 sums, and the rounding to storage.
double tolerance(DType storage) {
  return storage == DType::f32 ? 2e-5 : storage == DType::bf16 ? 1.0 / 64 : 1.0 / 256;
}

}  // namespace

std::string ConvShape::text() const {
  const ConvGeometry& g = geometry;
  return fmt::format("{}x{}x{} > {}, {}x{}/{}{}", w, h, g.c, g.k, g.s, g.r, g.stride_w,
                     g.groups == 1 ? "" : fmt::format(", {} groups", g.groups));
}

std::vector<ConvShape> conv_shapes(const Network& network, int height, int width) {
  const std::vector<Shape> shapes = network.graph.shapes(height, width);
  std::vector<ConvShape> found;
  for (const Node& node : network.graph.nodes()) {
    if (!node.op || !node.op->convolution()) continue;
    const int from = node.inputs.front();
    const Shape input = from == kNetworkInput ? Shape{height, width, network.channels} : shapes[std::size_t(from)];
    const ConvShape shape{.geometry = *node.op->convolution(), .h = input.h, .w = input.w};
    if (std::find(found.begin(), found.end(), shape) == found.end()) found.push_back(shape);
  }
  return found;
}

double conv_bytes(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  const double x = static_cast<double>(p.n) * p.h * p.w * g.c * static_cast<double>(size_of(p.x));
  const double y = static_cast<double>(p.n) * p.p() * p.q() * g.k * static_cast<double>(size_of(p.y));
  const double weights = static_cast<double>(g.weights());
  // wgrad adds to f32; the others read the weights in the type of x.
  return x + y + weights * (p.direction == ConvDirection::wgrad ? 8.0 : static_cast<double>(size_of(p.x)));
}

ConvContest::ConvContest(const Backend& backend, Stream stream, const ConvProblem& problem)
    : backend_(backend), stream_(stream), problem_(problem) {}

void ConvContest::add(const ConvRow& row) {
  Contestant contestant;
  const double bytes = conv_bytes(problem_);
  do {
    data_.push_back(std::make_unique<OpData>(backend_, stream_, problem_.n, problem_.x));
    contestant.instances.push_back(make_conv(*data_.back(), problem_, row));
  } while (bytes * static_cast<double>(contestant.instances.size()) < cache_bytes(backend_) &&
           contestant.instances.size() < 64);
  contestants_.push_back(std::move(contestant));
}

std::function<void()> make_conv(OpData& data, const ConvProblem& problem, const ConvRow& row) {
  return runner(data, problem, row, allocate(data, problem));
}

std::string check_conv_samples(const Backend& backend, Stream stream, const ConvProblem& problem, const ConvRow& row,
                               int samples) {
  const bool fprop = problem.direction == ConvDirection::fprop, dgrad = problem.direction == ConvDirection::dgrad;
  OpData data(backend, stream, problem.n, problem.x);
  const ConvMemory m = allocate(data, problem);
  runner(data, problem, row, m)();
  if (!fprop) runner(data, problem, row, m, Grad::accumulate)();
  const double runs = fprop ? 1 : 2;  // that gradients are the sum of
  const ConvGeometry& g = problem.geometry;
  const auto fetch = [&](const void* from, DType type, std::int64_t count) {
    return from ? fetched(backend, stream, from, type, count) : std::vector<double>();
  };
  const Truth64 truth{.p = problem,
                      .x = fetch(m.x.data, problem.x, m.x.elements()),
                      .y = fetch(m.y.data, problem.y, m.y.elements()),
                      .w = fetch(m.weights ? m.weights : m.dweights, DType::f32, g.weights()),
                      .bias = fetch(m.bias, DType::f32, g.k)};
  const auto fault = [&](const char* what, std::int64_t at, double actual, const Truth64::Sum& sum) -> std::string {
    const double expected = runs * sum.value, allowed = runs * tolerance(problem.x) * sum.size;
    if (std::abs(actual - expected) <= allowed) return {};
    return fmt::format("{} {}: {} instead of {}", what, at, actual, expected);
  };
  const std::vector<double>& out = fprop ? truth.y : dgrad ? truth.x : truth.w;
  for (int i = 0; i < samples; ++i) {
    const PhiloxBlock drawn = philox(philox_key(11), {.slot = static_cast<std::uint32_t>(i)});
    const auto at = static_cast<std::int64_t>(drawn.x) % static_cast<std::int64_t>(out.size());
    const Truth64::Sum sum = fprop ? truth.fprop(at) : dgrad ? truth.dgrad(at) : truth.wgrad(at);
    if (auto words = fault("element", at, out[static_cast<std::size_t>(at)], sum); !words.empty()) return words;
  }
  const std::vector<double> dbias = fetch(m.dbias, DType::f32, g.k);
  for (std::size_t k = 0; k < dbias.size(); ++k) {
    const auto at = static_cast<std::int64_t>(k);
    if (auto words = fault("gradient of bias", at, dbias[k], truth.bias_gradient(at)); !words.empty()) return words;
  }
  return {};
}

}  // namespace rook::app
