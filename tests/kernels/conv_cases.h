// What the tests of convolution share: problems, their data, and the comparison of a row with the reference.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/kernels/conv_shapes.h"
#include "tests/support.h"

namespace rook::test {

inline constexpr Types kTypes[] = {{DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}};

// Bytes aligned as the engine's are, full of NaN, with guards around them.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) : size_(size), storage_(size + 3 * kMargin, kGuard) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data()) + kMargin;
    data_ = storage_.data() + kMargin + (kMargin - address % kMargin) % kMargin;
    std::memset(data_, 0xff, size);
  }
  std::byte* data() { return data_; }
  bool intact() const {
    const auto guard = [](std::byte b) { return b == kGuard; };
    return std::all_of(storage_.data(), static_cast<const std::byte*>(data_), guard) &&
           std::all_of(static_cast<const std::byte*>(data_) + size_, storage_.data() + storage_.size(), guard);
  }

 private:
  static constexpr std::size_t kMargin = 64;
  static constexpr std::byte kGuard{0x5a};
  std::size_t size_;
  std::vector<std::byte> storage_;
  std::byte* data_;
};

// A problem with its data; weights are rounded through the type they are packed in.
struct Setup {
  Setup(const ConvProblem& p, Random& random)
      : problem(p),
        x(tensor_of_pitch(p.x, p.n, p.h, p.w, p.geometry.c, p.x_pitch())),
        y(tensor_of_pitch(p.y, p.n, p.p(), p.q(), p.geometry.k, p.y_pitch())),
        weights(p.geometry.weights()),
        bias(p.geometry.k),
        dweights(p.geometry.weights()),
        dbias(p.geometry.k) {
    if (p.direction != ConvDirection::dgrad) x.fill_uniform(random, -1, 1);
    if (p.direction != ConvDirection::fprop) y.fill_uniform(random, -1, 1);
    weights.fill_uniform(random, -1, 1);
    if (p.x == DType::bf16)
      for (float& w : weights.span()) w = bf16_to_float(float_to_bf16(w));
    bias.fill_uniform(random, -1, 1);
    dweights.fill_uniform(random, -1, 1);
    dbias.fill_uniform(random, -1, 1);
  }

  void run(const ConvRow& row, Grad mode = Grad::overwrite) {
    const bool wgrad = problem.direction == ConvDirection::wgrad;
    GuardedBytes packed(wgrad ? 0 : row.packed_bytes(problem)), workspace(row.workspace(problem));
    if (!wgrad) row.pack(problem, weights.data(), packed.data(), {});
    row.run(problem,
            {.x = x,
             .y = y,
             .weights = wgrad ? nullptr : packed.data(),
             .bias = problem.bias ? bias.data() : nullptr,
             .dweights = wgrad ? dweights.data() : nullptr,
             .dbias = wgrad && problem.bias ? dbias.data() : nullptr,
             .mode = mode,
             .workspace = workspace.data()},
            {});
    CHECK_MESSAGE(packed.intact(), "written outside of the packed weights");
    CHECK_MESSAGE(workspace.intact(), "written outside of the workspace");
  }

  // The same with activations in double, for the reference.
  Setup in_double() const {
    Setup copy = *this;
    copy.problem.x = copy.problem.y = DType::f64;
    copy.x = x.converted(DType::f64);
    copy.y = y.converted(DType::f64);
    return copy;
  }

  // What the direction has computed.
  std::vector<double> results() const {
    if (problem.direction == ConvDirection::fprop) return y.to_doubles();
    if (problem.direction == ConvDirection::dgrad) return x.to_doubles();
    std::vector<double> gradients;
    for (const TestArray<float>* values : {&dweights, &dbias})
      gradients.insert(gradients.end(), values->data(), values->data() + values->size());
    return gradients;
  }

  ConvProblem problem;
  TestTensor x, y;
  TestArray<float> weights, bias, dweights, dbias;
};

// A row with another rule for what it takes: what it can do, where the table prefers others.
inline ConvRow with_rule(ConvRow row, bool (*supports)(const ConvProblem&)) {
  row.supports = supports;
  return row;
}

// The results of one direction, computed with so many threads.
inline std::vector<double> with_threads(int threads, const ConvRow& row, Setup setup) {
  const ThreadScope scope(threads);
  setup.run(row);
  return setup.results();
}

inline double largest(const TestTensor& t) {
  double most = 0;
  for (const double v : t.to_doubles()) most = std::max(most, std::abs(v));
  return most;
}

// Sums of `terms` products of numbers up to 1 in f32, then rounded to storage.
inline Tolerance tolerance_for(DType storage, std::int64_t terms, double size) {
  const double sum = 2e-7 * std::sqrt(static_cast<double>(terms)) * std::max(1.0, size);
  return storage == DType::bf16 ? Tolerance{sum, 1.0 / 256} : Tolerance{sum, 2e-6};
}

// What Winograd's F(2x2, 3x3) adds for uniform data in [-1, 1], u = 2^-8 being half a unit in the last place of bf16.
// Both factors of every product are rounded, which is 0.53 u of the product, rms. An output of fprop or dgrad sums 9 of
// the 16 points over the channels summed over; there the transformed inputs have the variance 4/3, the transformed
// filters together 6.25/3: 0.9 u sqrt(channels) rms. A gradient of filters sums over tiles, with weights that square to
// at most 4 times the variances 1/3 and 4/3: 0.7 u sqrt(tiles). Eight to nine times the larger is sqrt(terms) / 32. In
// f32 u is 2^-16 times that. F(4x4, 3x3): the same sums over its 36 points give 4.7 u sqrt(channels) in the last
// output of a tile and 5.1 u sqrt(tiles) in the last tap, 5.7 times the largest of F(2x2, 3x3).
inline double winograd_error(const ConvRow& row, const ConvProblem& p) {
  if (row.name.find("winograd") == std::string_view::npos) return 0;
  const ConvGeometry& g = p.geometry;
  const int tile = row.name.ends_with("winograd4") ? 4 : 2;
  const double tiles = static_cast<double>(p.n) * ((p.p() + tile - 1) / tile) * ((p.q() + tile - 1) / tile);
  const double terms = p.direction == ConvDirection::fprop ? g.c : p.direction == ConvDirection::dgrad ? g.k : tiles;
  return std::sqrt(terms) / 32 * (p.x == DType::bf16 ? 1 : 1.0 / 65536) * (tile == 4 ? 5.7 : 1);
}

inline const ConvRow& ref_row() {
  return ref::conv_rows()[0];
}

// Compares one row with the reference in double; returns whether it took the problem.
inline bool check_row(const ConvRow& row, const ConvProblem& problem, Grad mode, Random& random) {
  if (!row.supports(problem)) return false;
  Setup ours(problem, random);
  if (problem.direction == ConvDirection::dgrad && mode == Grad::accumulate) ours.x.fill_uniform(random, -1, 1);
  Setup truth = ours.in_double(), again = ours;
  if (problem.direction == ConvDirection::fprop) again.y.poison(Poison::huge);
  if (problem.direction == ConvDirection::dgrad && mode == Grad::overwrite) again.x.poison(Poison::huge);
  const bool adds = mode == Grad::accumulate;
  Setup alone = truth;  // what is added, for the size of its rounding
  if (adds) alone.x.fill(0);
  truth.run(ref_row(), mode);
  if (adds && problem.direction == ConvDirection::dgrad) alone.run(ref_row(), mode);
  ours.run(row, mode);
  again.run(row, mode);
  const ConvGeometry& g = problem.geometry;
  const std::int64_t taps = std::int64_t{g.r} * g.s;
  const double rounded = winograd_error(row, problem);
  switch (problem.direction) {
    case ConvDirection::fprop: {
      Tolerance tolerance = tolerance_for(problem.y, taps * g.c / g.groups, largest(truth.y));
      tolerance.absolute += rounded;
      check_close("y", ours.y, truth.y, tolerance);
      CHECK_MESSAGE(same_bits(ours.y, again.y), "two runs differ");
      break;
    }
    case ConvDirection::dgrad: {
      Tolerance tolerance = tolerance_for(problem.x, taps * g.k / g.groups, largest(truth.x));
      if (adds && problem.x == DType::bf16) tolerance.absolute += largest(alone.x) / 256;  // rounded before it is added
      tolerance.absolute += rounded;
      check_close("dx", ours.x, truth.x, tolerance);
      CHECK_MESSAGE(same_bits(ours.x, again.x), "two runs differ");
      break;
    }
    case ConvDirection::wgrad: {
      const Tolerance tolerance{4e-7 * std::sqrt(static_cast<double>(problem.n) * problem.p() * problem.q()) * 4, 4e-6};
      check_close("dweights", ours.dweights, truth.dweights, {tolerance.absolute + rounded, tolerance.relative});
      check_close("dbias", ours.dbias, truth.dbias, tolerance);
      CHECK_MESSAGE((same_bits(ours.dweights, again.dweights) && same_bits(ours.dbias, again.dbias)),
                    "two runs differ");
    }
  }
  CHECK((ours.weights.guards_intact() && ours.bias.guards_intact()));
  return true;
}

}  // namespace rook::test
