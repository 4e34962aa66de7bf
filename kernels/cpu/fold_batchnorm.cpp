// Batch norm folded into the convolution before it, in double (darknet.md 2.3).
#include <cmath>

#include "kernels/check.h"

namespace rook::cpu {

void fold_batchnorm(const FoldBatchNorm& args, Stream) {
  check_args(args);
#pragma omp parallel for schedule(static) if (args.k * args.count > 1 << 14)
  for (int k = 0; k < args.k; ++k) {
    double factor = 1, shift = args.beta[k];
    if (args.gamma) {
      factor = args.gamma[k] / std::sqrt(double{args.running_var[k]} + args.eps);
      shift -= factor * args.running_mean[k];
    }
    args.folded_bias[k] = static_cast<float>(shift);
    for (std::int64_t i = k * args.count; i < (k + 1) * args.count; ++i)
      args.folded_weights[i] = static_cast<float>(args.weights[i] * factor);
  }
}

}  // namespace rook::cpu
