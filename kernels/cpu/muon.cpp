// Muon: a few products of matrices per convolution, between passes over its weights.
#include "kernels/muon.h"

#include <algorithm>

#include "kernels/carve.h"
#include "kernels/check.h"
#include "kernels/cpu/flat.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"
#include "kernels/step.h"

namespace rook::cpu {
namespace {

struct Workspace {
  float *update, *result;                          // [rows, cols]
  float *gram, *square, *factor, *product, *next;  // [side, side]
  std::size_t bytes;
};

Workspace workspace_of(const MuonUpdate& args) {
  Carver carver(args.workspace);
  const std::int64_t count = std::int64_t{args.rows} * args.cols, side = std::min(args.rows, args.cols);
  Workspace w{};
  for (float** const array : {&w.update, &w.result}) *array = carver.take<float>(count);
  for (float** const array : {&w.gram, &w.square, &w.factor, &w.product, &w.next})
    *array = carver.take<float>(side * side);
  w.bytes = carver.bytes();
  return w;
}

// v <- momentum v + scale g, update = scale g + momentum v.
void take_momentum(const MuonUpdate& args, float* update) {
  for_blocks(std::int64_t{args.rows} * args.cols, [&](std::int64_t first, std::int64_t count) {
    const float momentum = args.momentum, scale = args.gradient_scale;
    float* const v = args.velocity + first;
    const float *v_in = v, *g = args.gradient + first;
    map(
        count, [=](Vec vk, Vec gk) { return momentum * vk + scale * gk; }, v, v_in, g);
    map(
        count, [=](Vec vk, Vec gk) { return scale * gk + momentum * vk; }, update + first, v_in, g);
  });
}

// c = a b of [side, side] that commute, so that c is as symmetric as they are.
void multiply_symmetric(const float* a, const float* b, float* c, std::int64_t side) {
  // A symmetric factor is its own transpose; this way both lie as they are read.
  multiply(transposed(a), {b}, c, side, side, side, Product::symmetric);
}

// factor = a I + b G + c G^2.
void take_polynomial(const Workspace& w, std::int64_t side) {
  multiply_symmetric(w.gram, w.gram, w.square, side);
  for_blocks(side * side, [&](std::int64_t first, std::int64_t count) {
    const float *gram = w.gram + first, *square = w.square + first;
    map(
        count, [](Vec g, Vec s) { return NewtonSchulz::kB * g + NewtonSchulz::kC * s; }, w.factor + first, gram,
        square);
  });
  for (std::int64_t i = 0; i < side; ++i) w.factor[i * side + i] += NewtonSchulz::kA;
}

// The product of the factors of all iterations, from the Gram matrix of the update.
const float* accumulate_factors(Workspace& w, std::int64_t side, int iterations) {
  double trace = 0;
  for (std::int64_t i = 0; i < side; ++i) trace += w.gram[i * side + i];
  const float scale = trace > 0 ? static_cast<float>(1 / trace) : 0;
  for_blocks(side * side, [&](std::int64_t first, std::int64_t count) {
    const float* const before = w.gram + first;
    map(
        count, [scale](Vec g) { return scale * g; }, w.gram + first, before);
  });
  for (int i = 0; i < iterations; ++i) {
    take_polynomial(w, side);
    if (i == 0) {
      std::copy_n(w.factor, side * side, w.product);
    } else {
      multiply_symmetric(w.factor, w.product, w.next, side);
      std::swap(w.product, w.next);
    }
    if (i + 1 == iterations) break;
    multiply_symmetric(w.factor, w.gram, w.next, side);
    multiply_symmetric(w.factor, w.next, w.gram, side);
  }
  return w.product;
}

MuonSums sums_of(const float* weights, const float* update, std::int64_t count) {
  ScratchScope scratch;
  const std::int64_t blocks = divide_up(count, kFlatBlock);
  MuonSums* const parts = scratch.take<MuonSums>(blocks);
  for_blocks(count, [&](std::int64_t first, std::int64_t length) {
    const float *w = weights + first, *o = update + first;
    parts[first / kFlatBlock] = {dot(w, w, length), dot(w, o, length), dot(o, o, length)};
  });
  MuonSums sums;
  for (std::int64_t i = 0; i < blocks; ++i) {
    sums.ww += parts[i].ww;
    sums.wo += parts[i].wo;
    sums.oo += parts[i].oo;
  }
  return sums;
}

}  // namespace

void muon_update(const MuonUpdate& given, Stream) {
  const MuonUpdate args = with_step(given);
  check_args(args);
  check(args.workspace != nullptr, "muon_update", "there is no workspace; give it muon_update_workspace(args) bytes");
  if (is_spoilt(args.step)) return;
  Workspace w = workspace_of(args);
  const std::int64_t rows = args.rows, cols = args.cols, side = std::min(rows, cols);
  const bool wide = rows <= cols;
  take_momentum(args, w.update);
  const Factor update{w.update}, turned = transposed(w.update);
  multiply(wide ? update : turned, wide ? turned : update, w.gram, side, side, std::max(rows, cols),
           Product::symmetric);
  const Factor factors{accumulate_factors(w, side, args.iterations)};
  multiply(wide ? factors : update, wide ? update : factors, w.result, rows, cols, side);

  const MuonStep step = muon_step(sums_of(args.weights, w.result, rows * cols), double{args.lr} * args.lr_scale);
  for_blocks(rows * cols, [&](std::int64_t first, std::int64_t count) {
    float* const weights = args.weights + first;
    const float *before = weights, *o = w.result + first;
    map(
        count, [step](Vec wk, Vec ok) { return step.keep * wk - step.turn * ok; }, weights, before, o);
  });
}

std::size_t muon_update_workspace(const MuonUpdate& args) {
  return workspace_of(args).bytes;
}

}  // namespace rook::cpu
