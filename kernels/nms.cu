// Non-maximum suppression (darknet.md 5.5), greedy by class, in four steps that need no word from the host:
//   1. sort by falling score, then index, then class: tiles in shared memory, then merges of sorted runs;
//   2. sort those ranks by class in the same way, so that a class is one segment with its best boxes first;
//   3. a block per segment goes through it a tile at a time: against the survivors so far, then among themselves;
//   4. compact the survivors in the order of their ranks.
#include <cstdint>

#include "base/error.h"
#include "kernels/box.h"
#include "kernels/carve.h"
#include "kernels/device.cuh"
#include "kernels/head_check.h"
#include "kernels/launch.cuh"
#include "kernels/scan.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kSortThreads = 1024;
constexpr int kSortTile = 2 * kSortThreads;
constexpr int kMergeThreads = 256;
constexpr int kSuppressThreads = 128;
constexpr int kSuppressBlocks = 64;  // per image
constexpr int kCompactThreads = 1024;
constexpr std::uint64_t kNothing = ~std::uint64_t{0};

// What is sorted, by `high`, then `low`; no two are the same. Candidates without a number as score have kNothing as
// `high` and come last.
struct alignas(16) Entry {
  std::uint64_t high, low;
};

__device__ __forceinline__ bool operator<(const Entry& a, const Entry& b) {
  return a.high != b.high ? a.high < b.high : a.low < b.low;
}

struct alignas(16) PackedBox {
  float x, y, w, h;
};

struct NmsWork {
  explicit NmsWork(const Nms& args) {
    Carver carver(args.workspace);
    const std::int64_t count = std::int64_t{args.images} * args.capacity;
    even = carver.take<Entry>(count);
    odd = carver.take<Entry>(count);
    sorted = carver.take<Detection>(count);
    survivors = carver.take<PackedBox>(count);
    kept = carver.take<std::uint8_t>(count);
    bytes = carver.bytes();
  }

  Entry *even, *odd;     // [N, capacity] sorted runs, after an even and an odd number of merges
  Detection* sorted;     // [N, capacity] by rank
  PackedBox* survivors;  // [N, capacity] those of a class at the beginning of its segment
  std::uint8_t* kept;    // [N, capacity] by rank
  std::size_t bytes;
};

__host__ __device__ inline int merges_of(int count) {
  int merges = 0;
  for (std::int64_t run = kSortTile; run < count; run *= 2) ++merges;
  return merges;
}

__device__ __forceinline__ int given(const Nms& args, int image) {
  const int count = args.counts[image];
  return count < 0 ? 0 : count < args.capacity ? count : args.capacity;
}

// Unsigned numbers in the order of the signed ones, of falling scores.
__device__ __forceinline__ std::uint32_t rising(std::int32_t value) {
  return static_cast<std::uint32_t>(value) ^ 0x80000000u;
}
__device__ __forceinline__ std::uint32_t falling(float score) {
  const std::uint32_t bits = __float_as_uint(score + 0.0f);  // -0 is 0
  return bits >> 31 != 0 ? bits : ~(bits | 0x80000000u);
}
__device__ __forceinline__ std::uint64_t pack_key(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
}

// First entry of the sorted entries[count] that is not less.
__device__ int lower_bound(const Entry* entries, int count, const Entry& wanted) {
  int low = 0;
  while (count > 0) {
    const int half = count / 2;
    const bool less = entries[low + half] < wanted;
    low = less ? low + half + 1 : low;
    count = less ? count - half - 1 : half;
  }
  return low;
}

// ---- sorting

struct SortShared {
  Entry of[kSortTile];
};

// Bitonic (Batcher 1968): the first `count` entries, after which there is room up to the next power of two.
__device__ void sort_tile(SortShared& s, int count) {
  int size = 2;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += kSortThreads) {
    s.of[i] = {kNothing, kNothing};
  }
  const int t = static_cast<int>(threadIdx.x);
  for (int block = 2; block <= size; block *= 2) {
    for (int step = block / 2; step > 0; step /= 2) {
      __syncthreads();
      if (t >= size / 2) continue;
      const int i = 2 * t - (t & (step - 1)), j = i + step;
      const Entry a = s.of[i], b = s.of[j];
      if ((b < a) == ((i & block) == 0)) {
        s.of[i] = b;
        s.of[j] = a;
      }
    }
  }
  __syncthreads();
}

// Tile blockIdx.x of image blockIdx.y: entry_of(i) of its candidates i, sorted, goes to `to`.
template <class EntryOf>
__device__ void sort_into(Entry* to, int count, EntryOf entry_of) {
  auto& s = block_shared<SortShared>();
  const int first = static_cast<int>(blockIdx.x) * kSortTile;
  const int here = count - first < kSortTile ? count - first : kSortTile;
  for (int i = static_cast<int>(threadIdx.x); i < here; i += kSortThreads) s.of[i] = entry_of(first + i);
  if (here > 0) sort_tile(s, here);  // the same for the whole block
  for (int i = static_cast<int>(threadIdx.x); i < here; i += kSortThreads) to[first + i] = s.of[i];
}

__global__ void __launch_bounds__(kSortThreads) sort_by_score_kernel(Nms args, NmsWork work) {
  const int image = static_cast<int>(blockIdx.y);
  const std::int64_t base = std::int64_t{image} * args.capacity;
  sort_into(work.even + base, given(args, image), [&](int i) {
    const Detection& d = args.detections[base + i];
    const std::uint64_t low = pack_key(rising(d.cls), static_cast<std::uint32_t>(i));
    return Entry{d.score == d.score ? pack_key(falling(d.score), rising(d.index)) : kNothing, low};
  });
}

// Takes what the sort by score has left and begins the sort by class in the same place.
__global__ void __launch_bounds__(kSortThreads) sort_by_class_kernel(Nms args, NmsWork work) {
  const int image = static_cast<int>(blockIdx.y), count = given(args, image);
  const std::int64_t base = std::int64_t{image} * args.capacity;
  Entry* entries = (merges_of(count) % 2 == 0 ? work.even : work.odd) + base;
  sort_into(entries, count, [&](int rank) {
    const Entry entry = entries[rank];
    work.sorted[base + rank] = args.detections[base + static_cast<std::uint32_t>(entry.low)];
    const std::uint32_t cls = static_cast<std::uint32_t>(entry.low >> 32), place = static_cast<std::uint32_t>(rank);
    return Entry{entry.high == kNothing ? kNothing : pack_key(cls, place), place};
  });
}

// Pairs of sorted runs of kSortTile << pass entries become one: an entry's place is its rank in its own run plus that
// in the other. The first sort begins in `even`, the second where the first has ended, and so ends in `even`.
__global__ void __launch_bounds__(kMergeThreads) merge_kernel(Nms args, NmsWork work, int pass, bool second_sort) {
  const int image = static_cast<int>(blockIdx.y), count = given(args, image), merges = merges_of(count);
  const bool from_even = (pass + (second_sort ? merges : 0)) % 2 == 0;
  const std::int64_t base = std::int64_t{image} * args.capacity, run = std::int64_t{kSortTile} << pass;
  const Entry* entries = (from_even ? work.even : work.odd) + base;
  Entry* to = (from_even ? work.odd : work.even) + base;
  for (std::int64_t i = global_thread(); pass < merges && i < count; i += grid_threads()) {
    const std::int64_t own = i / run * run, pair = i / (2 * run) * (2 * run), other = own == pair ? own + run : pair;
    const std::int64_t left = count - other, length = left < run ? left : run;
    const Entry entry = entries[i];
    const int before = length > 0 ? lower_bound(entries + other, static_cast<int>(length), entry) : 0;
    to[pair + (i - own) + before] = entry;
  }
}

// ---- suppression

__device__ __forceinline__ bool suppresses(const Nms& args, const PackedBox& a, const PackedBox& b) {
  const Box<float> p{a.x, a.y, a.w, a.h}, q{b.x, b.y, b.w, b.h};
  const float value = iou(p, q);
  // DIoU is at most IoU, so the power is taken only where IoU alone would suppress.
  if (args.kind == NmsKind::plain || (args.threshold >= 0 && !(value > args.threshold))) return value > args.threshold;
  const float beta = args.kind == NmsKind::greedy ? 0.6f : args.beta;  // darknet's greedynms has 0.6 in its code
  return value - powf(centre_penalty(p, q), beta) > args.threshold;
}

struct SuppressShared {
  PackedBox box[kSuppressThreads];
  std::int32_t alive[kSuppressThreads];
  WarpResults<int> sums;
};

// Whether this thread's box outlives the survivors that earlier tiles of its class have left.
__device__ bool outlives(const Nms& args, const PackedBox* survivors, int count, const PackedBox& mine, bool alive,
                         SuppressShared& s) {
  const int t = static_cast<int>(threadIdx.x);
  for (int first = 0; first < count; first += kSuppressThreads) {
    const int here = count - first < kSuppressThreads ? count - first : kSuppressThreads;
    if (t < here) s.box[t] = survivors[first + t];
    __syncthreads();
    for (int k = 0; alive && k < here; ++k) alive = !suppresses(args, s.box[k], mine);
    if (__syncthreads_or(alive) == 0) break;
  }
  return alive;
}

// Among the boxes of a tile, best first: who is alive when its turn comes suppresses those after it.
__device__ bool outlives_tile(const Nms& args, int count, const PackedBox& mine, bool alive, SuppressShared& s) {
  const int t = static_cast<int>(threadIdx.x);
  s.box[t] = mine;
  s.alive[t] = alive;
  __syncthreads();
  for (int k = 0; k + 1 < count; ++k) {
    if (s.alive[k] == 0) continue;  // the same for all threads
    if (t > k && alive && suppresses(args, s.box[k], mine)) {
      alive = false;
      s.alive[t] = 0;
    }
    __syncthreads();
  }
  return alive;
}

// Entries [first, end) of an image: one class, best first.
__device__ void suppress_segment(const Nms& args, const NmsWork& work, std::int64_t base, int first, int end,
                                 SuppressShared& s) {
  const int t = static_cast<int>(threadIdx.x);
  PackedBox* survivors = work.survivors + base + first;
  int count = 0;
  for (int tile = first; tile < end; tile += kSuppressThreads) {
    const int here = end - tile < kSuppressThreads ? end - tile : kSuppressThreads;
    bool alive = t < here;
    PackedBox mine{};
    std::uint32_t rank = 0;
    if (alive) {
      rank = static_cast<std::uint32_t>(work.even[base + tile + t].low);
      const Detection& d = work.sorted[base + rank];
      mine = {d.x, d.y, d.w, d.h};
    }
    alive = outlives(args, survivors, count, mine, alive, s);
    alive = outlives_tile(args, here, mine, alive, s);
    int total = 0;
    const int place = block_prefix_sum(alive ? 1 : 0, s.sums, total);
    if (alive) survivors[count + place] = mine;
    if (t < here) work.kept[base + rank] = alive ? 1 : 0;
    count += total;
    __syncthreads();  // survivors are read, and s is written, by the next tile
  }
}

// Block (b, image) does the segments that begin in the b-th part of the entries.
__global__ void __launch_bounds__(kSuppressThreads) suppress_kernel(Nms args, NmsWork work) {
  auto& s = block_shared<SuppressShared>();
  const int image = static_cast<int>(blockIdx.y), count = given(args, image);
  const std::int64_t base = std::int64_t{image} * args.capacity;
  const Entry* entries = work.even + base;
  const int valid = lower_bound(entries, count, {kNothing, 0});
  const int blocks = static_cast<int>(gridDim.x), part = (valid + blocks - 1) / blocks;
  const int begin = static_cast<int>(blockIdx.x) * part, stop = begin + part < valid ? begin + part : valid;
  const auto segment_end = [&](int i) {
    return lower_bound(entries, valid, {pack_key(entries[i].high >> 32, ~0u), kNothing});
  };
  int first = begin;
  if (first < stop && first > 0 && entries[first].high >> 32 == entries[first - 1].high >> 32) {
    first = segment_end(first);
  }
  while (first < stop) {
    const int end = segment_end(first);
    suppress_segment(args, work, base, first, end, s);
    first = end;
  }
}

// ---- compaction

struct CompactShared {
  WarpResults<int> sums;
};

__global__ void __launch_bounds__(kCompactThreads) compact_kernel(Nms args, NmsWork work) {
  auto& s = block_shared<CompactShared>();
  const int image = static_cast<int>(blockIdx.x), count = given(args, image);
  const std::int64_t base = std::int64_t{image} * args.capacity;
  const int valid = lower_bound(work.even + base, count, {kNothing, 0});
  int survivors = 0;
  for (int first = 0; first < valid; first += kCompactThreads) {
    const int rank = first + static_cast<int>(threadIdx.x);
    const bool kept = rank < valid && work.kept[base + rank] != 0;
    int total = 0;
    const int place = block_prefix_sum(kept ? 1 : 0, s.sums, total);
    if (kept) args.detections[base + survivors + place] = work.sorted[base + rank];
    survivors += total;
  }
  __syncthreads();  // everybody has read the count
  if (threadIdx.x == 0) args.counts[image] = survivors;
}

}  // namespace

// ------------------------------------------------------------------------------------------------------ launchers

std::size_t nms_workspace(const Nms& args) {
  Nms without = args;
  without.workspace = nullptr;
  return NmsWork(without).bytes;
}

void nms(const Nms& args, Stream stream) {
  check_nms(args);
  if (args.images == 0 || args.capacity == 0) return;
  if (args.workspace == nullptr) throw Error("nms: no workspace; give nms_workspace(args) bytes");
  const NmsWork work(args);
  const unsigned images = static_cast<unsigned>(args.images);
  const Grid sort{.blocks = {blocks_for(args.capacity, kSortTile), images}, .threads = kSortThreads};
  const Grid merge{.blocks = {blocks_for(args.capacity, kMergeThreads), images}, .threads = kMergeThreads};
  const auto merge_runs = [&](bool second_sort) {
    for (int pass = 0; pass < merges_of(args.capacity); ++pass) {
      launch(stream, merge, merge_kernel, args, work, pass, second_sort);
    }
  };
  launch(stream, sort, sort_by_score_kernel, args, work);
  merge_runs(false);
  launch(stream, sort, sort_by_class_kernel, args, work);
  merge_runs(true);
  launch(stream, {.blocks = {kSuppressBlocks, images}, .threads = kSuppressThreads}, suppress_kernel, args, work);
  launch(stream, {.blocks = images, .threads = kCompactThreads}, compact_kernel, args, work);
}

}  // namespace rook::ROOK_GPU
