// A head's output to detections (darknet.md 5.1-5.3; formulas in box.h). One block per image goes over the anchor
// cells in order, a tile at a time: anchors whose objectness passes as a logit are compacted, then a warp per survivor
// counts its classes above the threshold, and a prefix sum of the counts gives every detection its place: by anchor
// cell, then class, whatever the order in which threads run.
#include "kernels/box.h"
#include "kernels/device.cuh"
#include "kernels/head_check.h"
#include "kernels/launch.cuh"
#include "kernels/scan.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kDecodeThreads = 1024;
constexpr int kPerThread = 4;  // anchor cells of a tile for each thread: loads in flight
constexpr int kDecodeTile = kDecodeThreads * kPerThread;

struct DecodeShared {
  WarpResults<int> sums;
  std::int32_t candidate[kDecodeTile];  // anchor cells of the tile that may hold an object, rising
  std::int32_t place[kDecodeTile];      // detections of each; then of those before it
};

// A box that a warp has decoded, and what its class probabilities are multiplied with.
struct Candidate {
  Box<float> box;
  float objectness = 0;
  float weight = 0;            // 0: no detection
  float largest = 0, sum = 0;  // of the softmax
};

template <class T>
__device__ const T* entries_at(const HeadDecode& args, std::int64_t first_pixel, int slot) {
  const int cell = slot / args.head.anchors, a = slot - cell * args.head.anchors;
  return static_cast<const T*>(args.logits.data) + (first_pixel + cell) * args.logits.pitch + a * args.head.entries();
}

__device__ __forceinline__ float as_probability(const HeadSpec& head, float output) {
  return head.new_coords ? output : sigmoid(output);
}

__device__ __forceinline__ bool has_softmax(const HeadSpec& head) {
  return head.kind == HeadKind::region && head.softmax;
}

template <class T>
__device__ void softmax_sums(const HeadDecode& args, const T* classes, Candidate& found) {
  found.largest = -INFINITY;
  for (int c = lane(); c < args.head.classes; c += kWarp) found.largest = fmaxf(found.largest, to_float(classes[c]));
  found.largest = warp_reduce<Max>(found.largest);
  for (int c = lane(); c < args.head.classes; c += kWarp) found.sum += expf(to_float(classes[c]) - found.largest);
  found.sum = warp_sum(found.sum);
}

// A whole warp looks at one anchor cell.
template <class T>
__device__ Candidate look_at(const HeadDecode& args, const T* entry, int slot) {
  const HeadSpec& head = args.head;
  Candidate found;
  found.objectness = as_probability(head, to_float(entry[objectness_entry(head.kind)]));
  const int cell = slot / head.anchors, a = slot - cell * head.anchors;
  CellDecoder<float> decoder = cell_decoder<float>(head, a, args.logits.w, args.logits.h, args.net_w, args.net_h);
  decoder.col = static_cast<float>(cell % args.logits.w);
  decoder.row = static_cast<float>(cell / args.logits.w);
  const auto value = [&](int k) { return to_float(entry[box_entry(head.kind, k)]); };
  found.box = decoder.decode({value(0), value(1), value(2), value(3)});
  const float extent = found.box.x + found.box.y + found.box.w + found.box.h;
  if (!(found.objectness > args.threshold) || !(extent - extent == 0)) return found;
  float certainty = 1;  // Gaussian: 1 - mean of the four uncertainties
  for (int k = 0; head.kind == HeadKind::gaussian && k < 4; ++k) {
    certainty -= as_probability(head, to_float(entry[2 * k + 1])) / 4;
  }
  found.weight = found.objectness * certainty;
  if (has_softmax(head)) softmax_sums(args, entry + class_entry(head.kind), found);
  return found;
}

template <class T>
__device__ __forceinline__ float score_of(const HeadDecode& args, const Candidate& found, const T* classes, int c) {
  const float output = to_float(classes[c]);
  if (has_softmax(args.head)) return found.weight * (expf(output - found.largest) / found.sum);
  return found.weight * as_probability(args.head, output);
}

// The likeliest class in all lanes, the first of equals; `score` is its score, 0 where none is a number above 0.
template <class T>
__device__ int best_class_of(const HeadDecode& args, const Candidate& found, const T* classes, float& score) {
  int best = args.head.classes;
  score = 0;
  for (int c = lane(); c < args.head.classes; c += kWarp) {
    const float value = score_of(args, found, classes, c);
    if (value > score) {
      score = value;
      best = c;
    }
  }
  const float highest = warp_reduce<Max>(score);
  best = warp_reduce<Min>(score == highest ? best : args.head.classes);
  score = highest;
  return best;
}

__device__ __forceinline__ void store_detection(const HeadDecode& args, int image, int place, const Candidate& found,
                                                int slot, int cls, float score) {
  if (place >= args.capacity) return;
  args.detections[std::int64_t{image} * args.capacity + place] = {
      found.box.x, found.box.y, found.box.w, found.box.h, score, found.objectness, cls, args.first_index + slot};
}

// Calls emit(place, class, score) in the lane that holds a detection of this anchor cell, places counted from 0;
// returns their number in all lanes.
template <class T, class Emit>
__device__ int for_each_class(const HeadDecode& args, const Candidate& found, const T* entry, Emit emit) {
  const T* classes = entry + class_entry(args.head.kind);
  if (args.best_class) {
    float score = 0;
    const int best = best_class_of(args, found, classes, score);
    const bool hit = score > args.threshold;
    if (hit && lane() == 0) emit(0, best, score);
    return hit ? 1 : 0;
  }
  int count = 0;
  for (int first = 0; first < args.head.classes; first += kWarp) {
    const int c = first + lane();
    const float score = c < args.head.classes ? score_of(args, found, classes, c) : 0.0f;
    const bool hit = score > args.threshold;
    const unsigned hits = __ballot_sync(kFullMask, hit);
    if (hit) emit(count + __popc(hits & ((1u << lane()) - 1)), c, score);
    count += __popc(hits);
  }
  return count;
}

// Anchor cells [first, first + kDecodeTile) whose objectness is above the cutoff go to s.candidate; returns how many.
template <class T>
__device__ int filter_tile(const HeadDecode& args, std::int64_t first_pixel, int first, float cutoff, DecodeShared& s) {
  const int slots = args.logits.h * args.logits.w * args.head.anchors, objectness = objectness_entry(args.head.kind);
  const int mine = first + static_cast<int>(threadIdx.x) * kPerThread;
  bool passes[kPerThread];
  int count = 0, total = 0;
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    passes[k] = mine + k < slots && to_float(entries_at<T>(args, first_pixel, mine + k)[objectness]) > cutoff;
    count += passes[k];
  }
  int place = block_prefix_sum(count, s.sums, total);
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    if (passes[k]) s.candidate[place++] = mine + k;
  }
  __syncthreads();
  return total;
}

// s.place from counts to sums of those before; returns the sum of all.
__device__ int place_detections(int candidates, DecodeShared& s) {
  const int mine = static_cast<int>(threadIdx.x) * kPerThread;
  int count = 0, total = 0;
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) count += mine + k < candidates ? s.place[mine + k] : 0;
  int place = block_prefix_sum(count, s.sums, total);
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    if (mine + k >= candidates) continue;
    const int here = s.place[mine + k];
    s.place[mine + k] = place;
    place += here;
  }
  __syncthreads();
  return total;
}

template <class T>
__global__ void __launch_bounds__(kDecodeThreads) head_decode_kernel(HeadDecode args, float cutoff) {
  auto& s = block_shared<DecodeShared>();
  const int image = static_cast<int>(blockIdx.x), warps = kDecodeThreads / kWarp;
  const std::int64_t first_pixel = std::int64_t{image} * args.logits.h * args.logits.w;
  const int slots = args.logits.h * args.logits.w * args.head.anchors;
  int count = args.counts[image];
  for (int first = 0; first < slots; first += kDecodeTile) {
    const int candidates = filter_tile<T>(args, first_pixel, first, cutoff, s);
    if (candidates == 0) continue;
    for (int i = warp(); i < candidates; i += warps) {
      const T* entry = entries_at<T>(args, first_pixel, s.candidate[i]);
      const Candidate found = look_at(args, entry, s.candidate[i]);
      const int here = for_each_class(args, found, entry, [](int, int, float) {});
      if (lane() == 0) s.place[i] = here;
    }
    __syncthreads();
    const int total = place_detections(candidates, s);
    for (int i = warp(); total > 0 && i < candidates; i += warps) {
      const int slot = s.candidate[i];
      const T* entry = entries_at<T>(args, first_pixel, slot);
      const Candidate found = look_at(args, entry, slot);
      for_each_class(args, found, entry, [&](int place, int cls, float score) {
        store_detection(args, image, count + s.place[i] + place, found, slot, cls, score);
      });
    }
    count += total;
    __syncthreads();  // the next tile writes s.candidate again
  }
  if (threadIdx.x == 0) args.counts[image] = count;
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- launcher

void head_decode(const HeadDecode& args, Stream stream) {
  check_head_decode(args, Device::cuda, {DType::f32, DType::bf16, DType::f16});
  if (args.logits.n == 0) return;
  const float cutoff = output_cutoff(args.threshold, args.head.new_coords);
  with_storage("head_decode", args.logits.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(stream, {.blocks = static_cast<unsigned>(args.logits.n), .threads = kDecodeThreads}, head_decode_kernel<T>,
           args, cutoff);
  });
}

}  // namespace rook::ROOK_GPU
