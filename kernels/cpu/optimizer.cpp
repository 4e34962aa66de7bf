// The optimizer's loops over the flat arrays of parameters: cut into blocks of a fixed size that never cross a segment.
#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/cpu/flat.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"
#include "kernels/step.h"
#include "kernels/update.h"

namespace rook::cpu {
namespace {

struct FlatBlock {
  std::int64_t begin, end;
  std::int32_t segment;
};

// The blocks of all segments that are not frozen, in order: nobody has computed the gradient of a frozen one.
struct FlatBlocks {
  const FlatBlock* data;
  std::int64_t count, elements;
};

FlatBlocks cut_segments(ScratchScope& scratch, std::span<const ParamSegment> segments) {
  std::int64_t most = 0;
  for (const ParamSegment& segment : segments) most += divide_up(segment.end - segment.begin, kFlatBlock);
  FlatBlock* blocks = scratch.take<FlatBlock>(most);
  std::int64_t count = 0, elements = 0;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].lr_scale == 0) continue;
    for (std::int64_t begin = segments[s].begin; begin < segments[s].end; begin += kFlatBlock) {
      blocks[count++] = {begin, std::min(segments[s].end, begin + kFlatBlock), static_cast<std::int32_t>(s)};
    }
    elements += segments[s].end - segments[s].begin;
  }
  return {blocks, count, elements};
}

}  // namespace

void gradient_norm(const GradientNorm& args, Stream) {
  check_args(args);
  ScratchScope scratch;
  const FlatBlocks blocks = cut_segments(scratch, args.segments);
  double* sums = scratch.doubles(blocks.count);
  parallel_for(blocks.count, blocks.elements, [&](std::int64_t i) {
    const FlatBlock& block = blocks.data[i];
    sums[i] = dot(args.gradient + block.begin, args.gradient + block.begin, block.end - block.begin);
  });
  double total = 0;
  std::int32_t bad = -1;
  for (std::int64_t i = 0; i < blocks.count; ++i) {
    total += sums[i];
    // Only a non-finite element makes the sum of a block non-finite.
    if (!std::isfinite(sums[i])) bad = blocks.data[i].segment;
  }
  *args.sum_of_squares = total;
  *args.bad_segment = bad;
}

void sgd_update(const SgdUpdate& given, Stream) {
  const SgdUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  ScratchScope scratch;
  const FlatBlocks blocks = cut_segments(scratch, args.segments);
  parallel_for(blocks.count, blocks.elements, [&](std::int64_t i) {
    const FlatBlock& block = blocks.data[i];
    const ParamSegment& segment = args.segments[static_cast<std::size_t>(block.segment)];
    const SgdRates rates = rates_of(args, segment);
    float *w = args.weights + block.begin, *v = args.velocity + block.begin;
    const float* g = args.gradient + block.begin;
#pragma omp simd
    for (std::int64_t k = 0; k < block.end - block.begin; ++k) {
      v[k] = sgd_velocity(rates, w[k], g[k], v[k]);
      w[k] = sgd_weight(rates, w[k], v[k]);
    }
  });
}

void adamw_update(const AdamWUpdate& given, Stream) {
  const AdamWUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  ScratchScope scratch;
  const FlatBlocks blocks = cut_segments(scratch, args.segments);
  const double step = static_cast<double>(args.optimizer_step);
  const float correct1 = static_cast<float>(1 / (1 - std::pow(double{args.beta1}, step)));
  const float correct2 = static_cast<float>(1 / (1 - std::pow(double{args.beta2}, step)));
  const AdamWRates common = rates_of(args, correct1, correct2);
  parallel_for(blocks.count, blocks.elements, [&](std::int64_t i) {
    const FlatBlock& block = blocks.data[i];
    const AdamWRates r = rates_of(common, args, args.segments[static_cast<std::size_t>(block.segment)]);
    const std::int64_t count = block.end - block.begin;
    float *w = args.weights + block.begin, *m = args.m + block.begin, *v = args.v + block.begin;
    const float* g = args.gradient + block.begin;
    const float *m_in = m, *v_in = v, *w_in = w;
    // One map per array; a block stays in the cache between them.
    map(
        count, [=](Vec mk, Vec gk) { return adamw_m(r, mk, gk); }, m, m_in, g);
    map(
        count, [=](Vec vk, Vec gk) { return adamw_v(r, vk, gk); }, v, v_in, g);
    map(
        count, [=](Vec wk, Vec mk, Vec vk) { return adamw_weight(r, wk, mk, sqrt(r.correct2 * vk)); }, w, w_in, m_in,
        v_in);
  });
}

void ema_update(const EmaUpdate& given, Stream) {
  const EmaUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  const float decay = args.decay;
  const float* before = args.average;
  for_blocks(args.count, [&](std::int64_t first, std::int64_t count) {
    map(
        count, [decay](Vec average, Vec value) { return ema_value(decay, average, value); }, args.average + first,
        before + first, args.value + first);
  });
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

}  // namespace rook::cpu
