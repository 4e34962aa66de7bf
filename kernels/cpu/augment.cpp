// Augmentation of a batch (geometry and random numbers: kernels/augment_plan.h).
//
// A patch is sampled row by row: two rows of the photo are blended into a line of floats (plain vector code over the
// part that is needed), the line is read at the precomputed columns, four lanes per pixel, then colour is changed for
// the whole row without a branch. Values are 0..255 until they are stored. Each pixel depends on its plan only, so the
// bits are the same whatever the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/augment_math.h"
#include "kernels/cpu/scalar.h"
#include "kernels/ops.h"
#include "kernels/step.h"

namespace rook::cpu {
namespace {

using Float4 [[gnu::vector_size(16)]] = float;
using Int4 [[gnu::vector_size(16)]] = std::int32_t;

constexpr int kBand = 32;  // rows of one piece of work

// What a thread needs to make a row. Each thread keeps its own from call to call, so that a step allocates nothing once
// the widest photo was seen.
struct Scratch {
  std::vector<std::int32_t> columns;  // first tap of each output column, in elements of the line
  std::vector<float> weights;         // of the second tap
  std::vector<float> line;            // blended row of the photo, from element `line_begin` on
  std::vector<float> pixels;          // [columns rounded up to 4, 4] r, g, b, unused
  std::int32_t line_begin = 0, line_end = 0;

  void fit(int out_width, int photo_width) {
    const auto width = static_cast<std::size_t>(out_width), line_width = static_cast<std::size_t>(photo_width) + 2;
    if (columns.size() < width) {
      columns.resize(width);
      weights.resize(width);
      pixels.resize((width + 3) / 4 * 16);
    }
    if (line.size() < 3 * line_width) line.resize(3 * line_width);
  }
};

// Taps of the columns on the photo; the line holds the columns between, and one beyond the last (weight 0 at the
// border).
void prepare_columns(const AugmentPatch& patch, const CachedImage& photo, Scratch& scratch) {
  const int count = patch.seen_x1 - patch.seen_x0;
  std::int32_t low = photo.width, high = 0;
  for (int i = 0; i < count; ++i) {
    const AugmentTap tap = augment_tap(patch.offset_x + patch.scale_x * (patch.seen_x0 + i + 0.5), photo.width);
    scratch.columns[i] = tap.index;
    scratch.weights[i] = tap.weight;
    low = std::min(low, tap.index);
    high = std::max(high, tap.index);
  }
  scratch.line_begin = 3 * low;
  scratch.line_end = 3 * std::min(high + 2, photo.width);
  for (int i = 0; i < count; ++i) scratch.columns[i] = 3 * scratch.columns[i] - scratch.line_begin;
}

void blend_rows(const AugmentPatch& patch, const CachedImage& photo, int row, Scratch& scratch) {
  const AugmentTap tap = augment_tap(patch.offset_y + patch.scale_y * (row + 0.5), photo.height);
  const std::int64_t stride = std::int64_t{photo.width} * 3;
  const std::uint8_t* first = photo.pixels + tap.index * stride + scratch.line_begin;
  const std::uint8_t* second = tap.index + 1 < photo.height ? first + stride : first;
  const float weight = tap.weight;
  float* line = scratch.line.data();
  const int count = scratch.line_end - scratch.line_begin;
#pragma omp simd
  for (int j = 0; j < count; ++j) {
    const float a = first[j], b = second[j];
    line[j] = a + weight * (b - a);
  }
}

void read_columns(int count, Scratch& scratch) {
  for (int i = 0; i < count; ++i) {
    const float* source = scratch.line.data() + scratch.columns[i];
    Float4 a, b;
    std::memcpy(&a, source, sizeof a);
    std::memcpy(&b, source + 3, sizeof b);
    a += scratch.weights[i] * (b - a);
    std::memcpy(scratch.pixels.data() + std::size_t{4} * i, &a, sizeof a);
  }
}

// Four pixels of four channels to four channels of four pixels, and back.
void transpose(Float4& a, Float4& b, Float4& c, Float4& d) {
  const Float4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Float4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

struct TruncateLanes {
  Float4 operator()(Float4 x) const { return __builtin_convertvector(__builtin_convertvector(x, Int4), Float4); }
};

// Whole groups of four pixels at once: on vectors because GCC, left alone, keeps the choices of the colour change as
// branches.
void recolour(const AugmentPatch& patch, int count, float* pixels) {
  const ColourChange<Float4, TruncateLanes> change(patch, {});
  for (int i = 0; i < count; i += 4) {
    Float4 group[4];
    std::memcpy(group, pixels + std::size_t{4} * i, sizeof group);
    transpose(group[0], group[1], group[2], group[3]);
    change.apply(group[0], group[1], group[2]);
    transpose(group[0], group[1], group[2], group[3]);
    std::memcpy(pixels + std::size_t{4} * i, group, sizeof group);
  }
}

template <class T>
void store_pixels(const float* pixels, int count, std::int64_t pitch, T* out) {
  if (pitch == 3) {
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      out[3 * i] = from_float<T>(pixels[4 * i] / 255);
      out[3 * i + 1] = from_float<T>(pixels[4 * i + 1] / 255);
      out[3 * i + 2] = from_float<T>(pixels[4 * i + 2] / 255);
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < 3; ++c) out[i * pitch + c] = from_float<T>(pixels[4 * i + c] / 255);
  }
}

template <class T>
void fill_grey(int count, std::int64_t pitch, T* out) {
  for (int i = 0; i < count; ++i) std::fill_n(out + i * pitch, 3, from_float<T>(kAugmentGrey / 255));
}

// Rows [begin, end) of a patch.
template <class T>
void render(const Augment& args, int output, const AugmentPatch& patch, int begin, int end, Scratch& scratch) {
  const CachedImage& photo = args.images[patch.image];
  const std::int64_t pitch = args.y.pitch;
  const int seen = patch.seen_x1 - patch.seen_x0;
  if (seen > 0) prepare_columns(patch, photo, scratch);
  for (int row = begin; row < end; ++row) {
    T* out = args.y.as<T>() + (std::int64_t{output} * args.y.h + row) * args.y.w * pitch;
    if (seen == 0 || row < patch.seen_y0 || row >= patch.seen_y1) {
      fill_grey(patch.x1 - patch.x0, pitch, out + patch.x0 * pitch);
      continue;
    }
    blend_rows(patch, photo, row, scratch);
    read_columns(seen, scratch);
    if (patch.recolours()) recolour(patch, seen, scratch.pixels.data());
    fill_grey(patch.seen_x0 - patch.x0, pitch, out + patch.x0 * pitch);
    store_pixels(scratch.pixels.data(), seen, pitch, out + patch.seen_x0 * pitch);
    fill_grey(patch.x1 - patch.seen_x1, pitch, out + patch.seen_x1 * pitch);
  }
}

// Truths of the patches in their order. What is beyond max_truths is lost.
void write_truths(const Augment& args, const AugmentPlan& plan, int output) {
  Truth* truths = args.truths + std::int64_t{output} * args.max_truths;
  int count = 0;
  for (int p = 0; p < plan.patches; ++p) {
    const CachedImage& photo = args.images[plan.patch[p].image];
    for (int t = 0; t < photo.truth_count && count < args.max_truths; ++t) {
      if (place_truth(args, plan.patch[p], photo, photo.truths[t], truths[count])) ++count;
    }
  }
  args.truth_counts[output] = count;
}

template <class T>
void augment_to(const Augment& args) {
  const int bands = (args.y.h + kBand - 1) / kBand;
  thread_local std::vector<AugmentPlan> kept_plans;  // likewise
  std::vector<AugmentPlan>& plans = kept_plans;      // of this thread, for all that work below
  plans.resize(static_cast<std::size_t>(args.y.n));
  int widest = 1;
  for (int i = 0; i < args.y.n; ++i) {
    plans[i] = plan_augment(args, i);
    write_truths(args, plans[i], i);
    for (int p = 0; p < plans[i].patches; ++p) widest = std::max(widest, args.images[plans[i].patch[p].image].width);
  }
  const bool parallel = args.y.pixels() > 20'000;  // below, waking the threads costs more than they save
#pragma omp parallel for schedule(dynamic) if (parallel)
  for (int piece = 0; piece < args.y.n * bands; ++piece) {
    const int output = piece / bands, top = piece % bands * kBand, bottom = std::min(top + kBand, args.y.h);
    thread_local Scratch scratch;
    scratch.fit(args.y.w, widest);
    for (int p = 0; p < plans[output].patches; ++p) {
      const AugmentPatch& patch = plans[output].patch[p];
      render<T>(args, output, patch, std::max(top, patch.y0), std::min(bottom, patch.y1), scratch);
    }
  }
}

}  // namespace

void augment(const Augment& given, Stream) {
  const Augment args = with_step(given);
  check_augment(args);
  check_augment_lists(args);
  switch (args.y.dtype) {
    case DType::f32:
      return augment_to<float>(args);
    case DType::bf16:
      return augment_to<std::uint16_t>(args);
    default:
      throw Error(fmt::format("augment: output of type {} is not supported; use f32 or bf16", name_of(args.y.dtype)));
  }
}

}  // namespace rook::cpu
