// The anchor cells of the detection loss, tile by tile: two kernels, whose `Mode` says what the loss is.
//
// In the first a thread decodes one anchor cell, compares its box with all truths of the image, and gives a background
// cell its gradient: nearly everything is background and has a gradient at one output. dlogits is cleared and written
// in one pass. The few other cells stay open for the second, in which a warp works out each, lanes over classes; it
// needs registers that the first cannot spare.
//
// A Mode has
//   static constexpr bool kBoxes             background adds to the sum `box` too
//   static constexpr bool kTakenIsOther      cells that a truth took count as others too
//   static constexpr bool kScaled            the loss is divided by the positives of the batch
//   Mode(call, head, scale)                  scale: of the gradient, with that
//   bool cell(slot, objectness, best_iou, taken, sums)   false: done; true: open
//   void positive(slot, best_iou, row, sums)             in all lanes; row: [classes] floats of the warp's own
#pragma once

#include "kernels/shared.cuh"
#include "kernels/yolo_loss.cuh"

namespace rook::ROOK_GPU {

inline constexpr int kOpenThreads = 128;
inline constexpr int kTruthChunk = 128;

struct TileShared {
  WarpResults<double> doubles;
  WarpResults<long long> integers;
  alignas(16) float truth[kTruthChunk][4];  // x, y, w, h; 0 where it cannot be learnt
  Assigned assigned[kTruthChunk];
};

// What a block does.
struct LossTile {
  int head, image;
  int first_pixel, pixels;  // of the image
};

__device__ __forceinline__ LossTile tile_of(const LossCall& call, unsigned block) {
  LossTile tile{};
  while (block >= call.first_tile[tile.head + 1]) ++tile.head;
  const unsigned tiles = static_cast<unsigned>(call.tiles[tile.head]), index = block - call.first_tile[tile.head];
  const Tensor& logits = call.heads[tile.head].logits;
  tile.image = static_cast<int>(index / tiles);
  tile.first_pixel = static_cast<int>(index % tiles) * call.tile_pixels[tile.head];
  const int left = logits.h * logits.w - tile.first_pixel;
  tile.pixels = left < call.tile_pixels[tile.head] ? left : call.tile_pixels[tile.head];
  return tile;
}

// 0 to `count` elements, by `threads` threads of which this is number `thread`; 16 bytes at once where they can be.
template <class T>
__device__ void clear_run(T* first, int count, int thread, int threads) {
  constexpr int kAtOnce = kVector<T>;
  const int odd = static_cast<int>(reinterpret_cast<std::uintptr_t>(first) % 16 / sizeof(T));
  const int head = odd == 0 ? 0 : kAtOnce - odd < count ? kAtOnce - odd : count;
  const int vectors = (count - head) / kAtOnce, tail = head + vectors * kAtOnce;
  Vec<T, kAtOnce> zero;
#pragma unroll
  for (int k = 0; k < kAtOnce; ++k) zero.v[k] = from_float<T>(0);
  for (int i = thread; i < vectors; i += threads) store(first + head + i * kAtOnce, zero);
  if (thread < head) first[thread] = from_float<T>(0);
  if (tail + thread < count) first[tail + thread] = from_float<T>(0);
}

template <class T>
__device__ void clear_pixels(const Tensor& t, std::int64_t first, int pixels) {
  T* start = static_cast<T*>(t.data) + first * t.pitch;
  if (t.pitch == t.c) {
    clear_run(start, pixels * t.c, static_cast<int>(threadIdx.x), kLossThreads);
    return;
  }
  for (int p = warp(); p < pixels; p += kLossThreads / kWarp) clear_run(start + p * t.pitch, t.c, lane(), kWarp);
}

// The best IoU of `box` with a truth of the image, and whether a truth took this anchor cell. All threads take part.
__device__ __forceinline__ float compare_with_truths(const LossCall& call, const LossTile& tile, const Box<float>& box,
                                                     int cell, std::uint32_t anchor_bit, bool& taken, TileShared& s) {
  const Truth* truths = truths_at(call, tile.image);
  const Assigned* assigned = assigned_at(call, tile.image, tile.head);
  const int listed = call.listed[tile.image], classes = call.heads[tile.head].head.classes;
  float best = 0;
  for (int first = 0; first < listed; first += kTruthChunk) {
    const int here = listed - first < kTruthChunk ? listed - first : kTruthChunk, t = static_cast<int>(threadIdx.x);
    __syncthreads();  // the chunk before has been read
    if (t < here) {
      const Truth& truth = truths[first + t];
      const bool usable = is_usable(truth, classes);
      s.truth[t][0] = usable ? truth.x : 0;
      s.truth[t][1] = usable ? truth.y : 0;
      s.truth[t][2] = usable ? truth.w : 0;
      s.truth[t][3] = usable ? truth.h : 0;
      s.assigned[t] = assigned[first + t];
    }
    __syncthreads();
    for (int k = 0; k < here; ++k) {
      const float value = iou(box, Box<float>{s.truth[k][0], s.truth[k][1], s.truth[k][2], s.truth[k][3]});
      best = value > best ? value : best;
      taken = taken || (s.assigned[k].cell == cell && (s.assigned[k].anchors & anchor_bit) != 0);
    }
  }
  return best;
}

// gradient_scale / max(1, positives of the batch).
__device__ __forceinline__ double batch_scale(const LossCall& call, TileShared& s) {
  long long positives = 0;
  for (int i = static_cast<int>(threadIdx.x); i < call.images * call.head_count; i += static_cast<int>(blockDim.x)) {
    positives += call.counts[i].positives;
  }
  return loss_scale(call.args.gradient_scale, block_sum(positives, s.integers));
}

template <class Mode>
__device__ __forceinline__ double scale_of(const LossCall& call, TileShared& s) {
  return Mode::kScaled ? batch_scale(call, s) : static_cast<double>(call.args.gradient_scale);
}

template <class Mode>
__global__ void __launch_bounds__(kLossThreads) background_kernel(const __grid_constant__ LossCall call) {
  auto& s = block_shared<TileShared>();
  const LossTile tile = tile_of(call, blockIdx.x);
  const LossHead& head = call.heads[tile.head];
  const int thread = static_cast<int>(threadIdx.x), anchors = head.head.anchors;
  const std::int64_t first = std::int64_t{tile.image} * head.logits.h * head.logits.w + tile.first_pixel;
  if (head.dlogits.dtype == DType::f32) {
    clear_pixels<float>(head.dlogits, first, tile.pixels);
  } else {
    clear_pixels<__nv_bfloat16>(head.dlogits, first, tile.pixels);
  }
  // Threads without a cell go along with the tile's last.
  const bool inside = thread < tile.pixels * anchors;
  const int index = tile.first_pixel * anchors + (inside ? thread : tile.pixels * anchors - 1);
  const LossSlot slot = loss_slot(head, tile.head, tile.image, index);
  const Box<float> box = decoder_of<float>(call.args, head, index).decode(box_outputs<float>(slot.output));
  bool taken = false;
  const float best = compare_with_truths(call, tile, box, index / anchors, 1u << index % anchors, taken, s);
  const Mode mode(call, head, scale_of<Mode>(call, s));
  __syncthreads();  // dlogits is clear
  LossSums sums;
  const bool open = inside && mode.cell(slot, activated(head.head, slot.output[4]), best, taken, sums);
  if (open) call.best_iou[std::int64_t{blockIdx.x} * kLossThreads + thread] = best;
  const unsigned bits = __ballot_sync(kFullMask, open);
  if (lane() == 0) call.open[blockIdx.x * kLossWarps + warp()] = bits;
  const int opened = __syncthreads_count(open);
  LossSums total;
  total.objectness = block_sum(sums.objectness, s.doubles);
  total.other_objectness = block_sum(sums.other_objectness, s.doubles);
  if (Mode::kBoxes) total.box = block_sum(sums.box, s.doubles);
  if (opened > 0) total.positive_objectness = block_sum(sums.positive_objectness, s.doubles);
  total.assigned = Mode::kTakenIsOther ? 0 : opened;
  total.others = tile.pixels * anchors - total.assigned;
  if (thread == 0) call.partial[blockIdx.x] = total;
}

// The open cells of a tile, in order, each by the warp whose turn it is; only the first `rows` warps have a row.
template <class Mode>
__global__ void __launch_bounds__(kOpenThreads) open_kernel(const __grid_constant__ LossCall call, int rows) {
  auto& s = block_shared<TileShared>();
  const unsigned* open = call.open + blockIdx.x * kLossWarps;
  const bool any = lane() < kLossWarps && open[lane()] != 0;
  if (__any_sync(kFullMask, any) == 0) return;  // the same for the whole block
  const LossTile tile = tile_of(call, blockIdx.x);
  const LossHead& head = call.heads[tile.head];
  float* row = dynamic_shared<float>() + std::int64_t{warp()} * head.head.classes;
  const Mode mode(call, head, scale_of<Mode>(call, s));
  LossSums sums;
  int turn = 0;
  for (int word = 0; word < kLossWarps; ++word) {
    for (unsigned left = open[word]; left != 0; left &= left - 1, ++turn) {
      if (turn % rows != warp()) continue;
      const int i = word * kWarp + __ffs(left) - 1, index = tile.first_pixel * head.head.anchors + i;
      const float best = call.best_iou[std::int64_t{blockIdx.x} * kLossThreads + i];
      mode.positive(loss_slot(head, tile.head, tile.image, index), best, row, sums);
    }
  }
  LossSums total;
  total.box = block_sum(sums.box, s.doubles);
  total.objectness = block_sum(sums.objectness, s.doubles);
  total.classes = block_sum(sums.classes, s.doubles);
  total.iou = block_sum(sums.iou, s.doubles);
  total.giou = block_sum(sums.giou, s.doubles);
  total.positive_objectness = block_sum(sums.positive_objectness, s.doubles);
  if (threadIdx.x == 0) call.partial[blockIdx.x].add(total);
}

// All tiles of all heads and images.
template <class Mode>
void launch_tiles(const LossCall& call, const LaunchSite& site) {
  constexpr std::int64_t kRoom = 32 * 1024;  // for rows; with more classes than that fits, one warp has a longer one
  const std::int64_t row = std::int64_t{call.heads[0].head.classes} * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t rows = std::clamp<std::int64_t>(kRoom / row, 1, kOpenThreads / kWarp);
  const unsigned tiles = call.first_tile[call.head_count];
  launch(site, {.blocks = tiles, .threads = kLossThreads}, background_kernel<Mode>, call);
  launch(site, {.blocks = tiles, .threads = kOpenThreads, .shared = static_cast<std::size_t>(rows * row)},
         open_kernel<Mode>, call, static_cast<int>(rows));
}

}  // namespace rook::ROOK_GPU
