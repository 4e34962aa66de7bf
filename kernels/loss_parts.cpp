#include "kernels/loss_parts.h"

namespace rook {

void write_loss(const YoloLoss& args, const LossSums* sums, const std::int32_t* unmatched) {
  const int images = args.heads[0].logits.n, heads = static_cast<int>(args.heads.size());
  LossSums per_head[kMaxHeads];
  std::int64_t truths = 0, lost = 0;
  for (int n = 0; n < images; ++n) {
    truths += args.truth_counts[n];
    lost += unmatched[n];
    for (int h = 0; h < heads; ++h) per_head[h].add(sums[n * heads + h]);
  }
  const double scale =
      write_parts(args.mode, args.gradient_scale, args.heads.data(), heads, per_head, truths, lost, args.parts);
  for (int n = 0; args.image_loss != nullptr && n < images; ++n) {
    double sum = 0;
    for (int h = 0; h < heads; ++h) {
      const LossSums& s = sums[n * heads + h];
      sum += s.box + s.objectness + s.classes;
    }
    args.image_loss[n] = static_cast<float>(sum * scale);
  }
}

}  // namespace rook
