// The end of the detection loss: sums of the tiles, of the images, and what yolo_loss reports (kernels/loss_parts.h).
// All in double, added in an order that the thread's number fixes.
#include "kernels/shared.cuh"
#include "kernels/yolo_loss.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kSumThreads = 128;

struct SumShared {
  WarpResults<double> doubles;
  WarpResults<long long> integers;
  double scale;
};

// The sum over the block, in all threads.
__device__ LossSums sum_of_block(const LossSums& mine, SumShared& s) {
  LossSums sum;
  sum.box = block_sum(mine.box, s.doubles);
  sum.objectness = block_sum(mine.objectness, s.doubles);
  sum.classes = block_sum(mine.classes, s.doubles);
  sum.iou = block_sum(mine.iou, s.doubles);
  sum.giou = block_sum(mine.giou, s.doubles);
  sum.positive_objectness = block_sum(mine.positive_objectness, s.doubles);
  sum.other_objectness = block_sum(mine.other_objectness, s.doubles);
  sum.positives = block_sum(static_cast<long long>(mine.positives), s.integers);
  sum.assigned = block_sum(static_cast<long long>(mine.assigned), s.integers);
  sum.others = block_sum(static_cast<long long>(mine.others), s.integers);
  sum.unmatched = block_sum(static_cast<long long>(mine.unmatched), s.integers);
  return sum;
}

__device__ bool is_lost(const LossCall& call, int image, int truth) {
  for (int h = 0; h < call.head_count; ++h) {
    if (assigned_at(call, image, h)[truth].anchors != 0) return false;
  }
  return true;
}

// Block (head, image): the image's sums under the head.
__global__ void __launch_bounds__(kSumThreads) sum_image_kernel(const __grid_constant__ LossCall call) {
  auto& s = block_shared<SumShared>();
  const int h = static_cast<int>(blockIdx.x), image = static_cast<int>(blockIdx.y);
  const LossSums* partial =
      call.partial + call.first_tile[h] + static_cast<unsigned>(image) * static_cast<unsigned>(call.tiles[h]);
  LossSums mine;
  for (int i = static_cast<int>(threadIdx.x); i < call.tiles[h]; i += kSumThreads) mine.add(partial[i]);
  LossSums sum = sum_of_block(mine, s);
  const AssignedCount count = call.counts[image * call.head_count + h];
  sum.positives = count.positives;
  sum.unmatched = count.unmatched;
  if (call.args.mode == LossMode::darknet) sum.assigned = count.positives;
  long long lost = 0;
  for (int t = static_cast<int>(threadIdx.x); h == 0 && t < given_truths(call, image); t += kSumThreads) {
    lost += is_lost(call, image, t);
  }
  lost = block_sum(lost, s.integers);
  if (threadIdx.x == 0) {
    call.sums[image * call.head_count + h] = sum;
    if (h == 0) call.lost[image] = static_cast<std::int32_t>(lost);
  }
}

// One block: the batch.
__global__ void __launch_bounds__(kSumThreads) sum_batch_kernel(const __grid_constant__ LossCall call) {
  auto& s = block_shared<SumShared>();
  const int first = static_cast<int>(threadIdx.x), heads = call.head_count;
  for (int h = 0; h < heads; ++h) {
    LossSums mine;
    for (int n = first; n < call.images; n += kSumThreads) mine.add(call.sums[n * heads + h]);
    const LossSums sum = sum_of_block(mine, s);
    if (threadIdx.x == 0) call.totals[h] = sum;
  }
  long long truths = 0, lost = 0;
  for (int n = first; n < call.images; n += kSumThreads) {
    truths += given_truths(call, n);
    lost += call.lost[n];
  }
  truths = block_sum(truths, s.integers);
  lost = block_sum(lost, s.integers);
  if (threadIdx.x == 0) {
    s.scale = write_parts(call.args.mode, call.args.gradient_scale, call.heads, heads, call.totals, truths, lost,
                          call.args.parts);
  }
  __syncthreads();
  for (int n = first; call.args.image_loss != nullptr && n < call.images; n += kSumThreads) {
    double sum = 0;
    for (int h = 0; h < heads; ++h) {
      const LossSums& of = call.sums[n * heads + h];
      sum += of.box + of.objectness + of.classes;
    }
    call.args.image_loss[n] = static_cast<float>(sum * s.scale);
  }
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- launcher

void sum_tiles(const LossCall& call, const LaunchSite& site) {
  const unsigned heads = static_cast<unsigned>(call.head_count), images = static_cast<unsigned>(call.images);
  if (images > 0) launch(site, {.blocks = {heads, images}, .threads = kSumThreads}, sum_image_kernel, call);
  launch(site, {.blocks = 1, .threads = kSumThreads}, sum_batch_kernel, call);
}

}  // namespace rook::ROOK_GPU
