// dw[k,r,s,c] += sum over images, p, q of dy[p,q,k] x[p d - pad + r, q d - pad + s, c]: a matrix product over the
// pixels of the output. Both factors are brought into the order in which the product reads them, a chunk of pixels at a
// time, with zeros where a tap lies outside. The rows of the output are split into parts whose sums are added in the
// end, fixed by the problem, so the bits do not depend on the threads.
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/register_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"

namespace rook::cpu::direct {
namespace {

// Sums in registers: channels of x by vectors of channels of dy. Blocks of both that stay in the L2 cache, and pixels
// of which one vector's worth of sums finds its factors in the L1 cache.
constexpr int kRows = 4, kColumns = 3;
constexpr int kBlockVecs = 12, kBlockChannels = 64, kChunkPixels = 256;

// Sums [part][tap r, s][c][k in whole vectors], then of each part those of dy, [k].
struct Layout {
  std::int64_t taps, k_vecs, parts;
  std::int64_t pitch() const { return k_vecs * kLanes; }
  std::int64_t part_floats(int c) const { return (taps * c + 1) * pitch(); }
};

Layout layout_of(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  Layout layout{.taps = std::int64_t{g.r} * g.s, .k_vecs = divide_up(g.k, kLanes), .parts = 1};
  constexpr std::int64_t kSumFloats = 2 << 20, kMostParts = 16;
  layout.parts = std::clamp(kSumFloats / layout.part_floats(g.c), std::int64_t{1},
                            std::min(kMostParts, std::int64_t{p.n} * p.p()));
  return layout;
}

// `pixels` products of x [pixel][kRows], of which the first Rows count, and dy [pixel][Columns vectors]:
// sums[row][column], `pitch` apart. (Inlined, GCC has other uses for the registers.)
template <int Rows, int Columns>
[[gnu::noinline]] void add_products(std::int64_t pixels, const float* x, const float* dy, std::ptrdiff_t pitch,
                                    float* to) {
  Sums<MathF32, Rows, Columns> sums;
  sums.clear();
  for (std::int64_t i = 0; i < pixels; ++i, x += kRows, dy += Columns * kLanes) sums.add(x, 1, dy);
  sums.add_to(to, pitch);
}

template <int Rows>
void add_products_of(int columns, std::int64_t pixels, const float* x, const float* dy, std::ptrdiff_t pitch,
                     float* to) {
  static_assert(kColumns == 3);
  if (columns == 1) return add_products<Rows, 1>(pixels, x, dy, pitch, to);
  if (columns == 2) return add_products<Rows, 2>(pixels, x, dy, pitch, to);
  add_products<Rows, 3>(pixels, x, dy, pitch, to);
}

void add_products_of(int rows, int columns, std::int64_t pixels, const float* x, const float* dy, std::ptrdiff_t pitch,
                     float* to) {
  static_assert(kRows == 4);
  if (rows == 1) return add_products_of<1>(columns, pixels, x, dy, pitch, to);
  if (rows == 2) return add_products_of<2>(columns, pixels, x, dy, pitch, to);
  if (rows == 3) return add_products_of<3>(columns, pixels, x, dy, pitch, to);
  add_products_of<4>(columns, pixels, x, dy, pitch, to);
}

// Vectors [begin, end) of k in groups of up to kColumns.
struct Vectors {
  std::int64_t begin, end;
  std::int64_t groups() const { return divide_up(end - begin, kColumns); }
  std::int64_t first(std::int64_t group) const { return begin + part_begin(end - begin, groups(), group); }
  int columns(std::int64_t group) const { return static_cast<int>(first(group + 1) - first(group)); }
};

// Rows [begin, end) of the output, counted over all images.
struct Rows {
  std::int64_t begin, end;
};

// dy of some rows: [group][pixel][columns of the group].
void pack_dy(const ConvProblem& p, const float* dy, Rows rows, Vectors vectors, float* to) {
  const int k = p.geometry.k;
  for (std::int64_t group = 0; group < vectors.groups(); ++group) {
    const std::int64_t channel = vectors.first(group) * kLanes, width = vectors.columns(group) * kLanes;
    const std::int64_t count = std::min(width, k - channel);
    for (std::int64_t pixel = rows.begin * p.q(); pixel < rows.end * p.q(); ++pixel, to += width) {
      std::copy_n(dy + pixel * k + channel, count, to);
      std::fill(to + count, to + width, 0.0f);
    }
  }
}

// What tap (r, s) sees of channels [begin, end) of x: [block of kRows channels][pixel][kRows], blocks `pitch` apart.
void pack_x(const ConvProblem& p, const float* x, Rows rows, int r, int s, int begin, int end, std::ptrdiff_t pitch,
            float* to) {
  const ConvGeometry& g = p.geometry;
  const auto put = [&](const float* from) {
    float* block = to;
    int c = begin;
    for (; c + kRows <= end; c += kRows, block += pitch) std::memcpy(block, from + c, sizeof(float) * kRows);
    if (c < end) std::copy_n(from + c, end - c, block);
    to += kRows;
  };
  const auto put_zeros = [&] {
    for (float* block = to; block < to + pitch * divide_up(end - begin, kRows); block += pitch)
      std::fill_n(block, kRows, 0.0f);
    to += kRows;
  };
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const int h = static_cast<int>(row % p.p()) * g.stride_h - g.pad_h + r;
    const float* const from = h < 0 || h >= p.h ? nullptr : x + (row / p.p() * p.h + h) * p.w * g.c;
    for (int q = 0; q < p.q(); ++q) {
      const int w = q * g.stride_w - g.pad_w + s;
      if (from && w >= 0 && w < p.w)
        put(from + std::int64_t{w} * g.c);
      else
        put_zeros();
    }
  }
}

struct Buffers {
  float *x, *dy;
  std::ptrdiff_t x_pitch;
};

// What some rows add to the sums of some vectors of k.
void add_chunk(const ConvProblem& p, const ConvArgs& args, const Layout& layout, Rows rows, Vectors vectors,
               const Buffers& buffers, float* sums) {
  const ConvGeometry& g = p.geometry;
  const std::int64_t pixels = (rows.end - rows.begin) * p.q(), pitch = layout.pitch();
  pack_dy(p, args.y.as<float>(), rows, vectors, buffers.dy);
  const auto for_groups = [&](auto f) {
    const float* dy = buffers.dy;
    for (std::int64_t group = 0; group < vectors.groups(); ++group) {
      f(vectors.columns(group), dy, vectors.first(group) * kLanes);
      dy += pixels * vectors.columns(group) * kLanes;
    }
  };
  for (int tap = 0; tap < layout.taps; ++tap)
    for (int begin = 0; begin < g.c; begin += kBlockChannels) {
      const int end = std::min(g.c, begin + kBlockChannels);
      pack_x(p, args.x.as<float>(), rows, tap / g.s, tap % g.s, begin, end, buffers.x_pitch, buffers.x);
      for_groups([&](int columns, const float* dy, std::int64_t k) {
        const float* x = buffers.x;
        for (int c = begin; c < end; c += kRows, x += buffers.x_pitch)
          add_products_of(std::min(kRows, end - c), columns, pixels, x, dy, pitch,
                          sums + (std::int64_t{tap} * g.c + c) * pitch + k);
      });
    }
  if (!p.bias || !args.dbias) return;
  for_groups([&](int columns, const float* dy, std::int64_t k) {
    float* const to = sums + layout.taps * g.c * pitch + k;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
      for (int j = 0; j < columns; ++j, dy += kLanes) store(to + j * kLanes, load(to + j * kLanes) + load(dy));
  });
}

// Vectors of k of one part.
void run_part(const ConvProblem& p, const ConvArgs& args, const Layout& layout, std::int64_t part, Vectors vectors,
              float* sums) {
  const std::int64_t rows = std::int64_t{p.n} * p.p(), pitch = layout.pitch();
  for (std::int64_t row = 0; row <= layout.taps * p.geometry.c; ++row)
    std::fill(sums + row * pitch + vectors.begin * kLanes, sums + row * pitch + vectors.end * kLanes, 0.0f);
  const std::int64_t chunk_rows = std::max(1, kChunkPixels / p.q()), most = chunk_rows * p.q();
  ScratchScope scratch;
  // An odd number of cache lines from block to block, as else the writes of a pixel would fall into one set.
  const std::ptrdiff_t x_pitch = (divide_up(most * kRows, 16) | 1) * 16;
  const Buffers buffers{.x = scratch.floats(x_pitch * divide_up(kBlockChannels, kRows)),
                        .dy = scratch.floats(most * kBlockVecs * kLanes),
                        .x_pitch = x_pitch};
  const std::int64_t first = part_begin(rows, layout.parts, part), last = part_begin(rows, layout.parts, part + 1);
  for (std::int64_t begin = first; begin < last; begin += chunk_rows)
    for (std::int64_t vec = vectors.begin; vec < vectors.end; vec += kBlockVecs)
      add_chunk(p, args, layout, {begin, std::min(last, begin + chunk_rows)},
                {vec, std::min(vectors.end, vec + kBlockVecs)}, buffers, sums);
}

}  // namespace

std::size_t wgrad_bytes(const ConvProblem& problem) {
  const Layout layout = layout_of(problem);
  return static_cast<std::size_t>(layout.parts * layout.part_floats(problem.geometry.c)) * sizeof(float);
}

void run_wgrad(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const Layout layout = layout_of(problem);
  const std::int64_t floats = layout.part_floats(g.c), pitch = layout.pitch(), rows = layout.taps * g.c;
  auto* const sums = static_cast<float*>(args.workspace);
  const std::int64_t k_parts = std::min<std::int64_t>(divide_up(omp_get_max_threads(), layout.parts), layout.k_vecs);
  parallel_for(layout.parts * k_parts, static_cast<std::int64_t>(problem.flops()), [&](std::int64_t i) {
    const std::int64_t part = i / k_parts, k_part = i % k_parts;
    run_part(problem, args, layout, part,
             {part_begin(layout.k_vecs, k_parts, k_part), part_begin(layout.k_vecs, k_parts, k_part + 1)},
             sums + part * floats);
  });
  // Filter by filter the sums lie far apart: a block of rows at a time, whose lines stay in the cache.
  constexpr std::int64_t kBlock = 64;
  parallel_for(divide_up(rows, kBlock), layout.parts * floats, [&](std::int64_t block) {
    for (std::int64_t row = block * kBlock; row < std::min(rows, (block + 1) * kBlock); ++row)
      for (std::int64_t part = 1; part < layout.parts; ++part)
        map(
            pitch, [](Vec a, Vec b) { return a + b; }, sums + row * pitch,
            static_cast<const float*>(sums + row * pitch),
            static_cast<const float*>(sums + part * floats + row * pitch));
    for (int k = 0; k < g.k; ++k)
      for (std::int64_t row = block * kBlock; row < std::min(rows, (block + 1) * kBlock); ++row)
        args.dweights[k * rows + row] += sums[row * pitch + k];
  });
  if (!problem.bias || !args.dbias) return;
  for (std::int64_t part = 0; part < layout.parts; ++part)
    for (int k = 0; k < g.k; ++k) args.dbias[k] += sums[part * floats + rows * pitch + k];
}

}  // namespace rook::cpu::direct
