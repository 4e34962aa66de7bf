// THE contract: everything that computes, one plain args struct and one function per operation.
//
// Each function exists in four namespaces with the same signature: cpu:: (threads and vectors), ref:: (naive, in
// double, what every test compares with), cuda::, and emu:: (the CUDA kernels run on the host). A function checks its
// arguments and throws Error, never allocates device memory, never synchronises. Pointers and tensors are the device's
// memory; what a span of tensors or of heads lists is read on the host during the call. Letters: N,H,W,C input; K,R,S,C
// filters; P,Q output height and width. Activations are f32 or bf16 (ref:: also f64); parameters and their gradients
// are f32 (ref:: takes them as f32 too, and computes in double) unless a Tensor says otherwise. Scratch that an
// operation needs is passed in and sized by its
// `..._workspace`.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/head.h"
#include "kernels/types.h"
#include "kernels/update_ops.h"

namespace rook {

// ---------------------------------------------------------------------------------------------------- batch norm
// Training forward: per channel mean and biased variance of z over N*P*Q, y = act(gamma (z - mean) inv_std + beta), and
// running <- (1 - momentum) running + momentum batch with the unbiased variance (darknet.md 2.3). y may be a slice.
struct BatchNormForward {
  Tensor z;                       // [N,P,Q,K] convolution output, kept for backward
  Tensor y;                       // [N,P,Q,K]
  const float* gamma = nullptr;   // [K]
  const float* beta = nullptr;    // [K]
  float* mean = nullptr;          // [K] out, kept for backward
  float* inv_std = nullptr;       // [K] out, kept for backward: 1 / sqrt(var + eps)
  float* running_mean = nullptr;  // [K] updated
  float* running_var = nullptr;   // [K] updated
  float momentum = 0.01f;
  float eps = 1e-5f;
  Activation activation = Activation::linear;
  void* workspace = nullptr;  // batchnorm_forward_workspace(args) bytes
};
// Inference forward, and training forward of a frozen layer: the running estimates normalise.
struct BatchNormInference {
  Tensor z, y;  // [N,P,Q,K]; y may be z
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const float* running_mean = nullptr;
  const float* running_var = nullptr;
  float eps = 1e-5f;
  Activation activation = Activation::linear;
};
// Backward in two passes with the activation's derivative fused; the pre-activation is recomputed from z.
struct BatchNormBackward {
  Tensor z;   // [N,P,Q,K] as in forward
  Tensor dy;  // [N,P,Q,K]
  Tensor dz;  // [N,P,Q,K] out, overwritten; may be dy itself
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const float* mean = nullptr;
  const float* inv_std = nullptr;
  float* dgamma = nullptr;  // [K] accumulated
  float* dbeta = nullptr;   // [K] accumulated
  Activation activation = Activation::linear;
  void* workspace = nullptr;  // batchnorm_backward_workspace(args) bytes
};
// Batch norm folded into the convolution before it: weights' = weights gamma / sqrt(running_var + eps),
// bias' = beta - running_mean gamma / sqrt(running_var + eps). Without batch norm (gamma is null) both are copied.
struct FoldBatchNorm {
  const float* weights = nullptr;  // [K, count]
  int k = 0;
  std::int64_t count = 0;        // weights of one filter
  const float* gamma = nullptr;  // [K] and the following
  const float* beta = nullptr;
  const float* running_mean = nullptr;
  const float* running_var = nullptr;
  float eps = 1e-5f;
  float* folded_weights = nullptr;  // [K, count] out
  float* folded_bias = nullptr;     // [K] out
};

// ---------------------------------------------------------------------------------------------------- element-wise
// y = act(x). y may be x. In f32 arithmetic whatever the storage.
struct ActivationForward {
  Tensor x, y;  // [N,H,W,C]
  Activation activation = Activation::linear;
};
// dx (=|+=) dy * act'(x), x being the pre-activation. dx may be dy when mode is overwrite.
struct ActivationBackward {
  Tensor x, dy, dx;
  Activation activation = Activation::linear;
  Grad mode = Grad::overwrite;
};
// dst (=|+=) src: routes (a channel slice copied into a wider buffer, and its gradient back), gradient of identity.
struct CopyChannels {
  Tensor src, dst;  // same n, h, w, c; any pitch; dtypes may differ (f32 <-> bf16)
  Grad mode = Grad::overwrite;
};
// dst = value, in every pixel (the gradient of channels that nobody reads).
struct FillChannels {
  Tensor dst;
  float value = 0;
};
// y = sum of the inputs; inputs with fewer channels than y add to the first ones, surplus channels are ignored.
struct ShortcutForward {
  std::span<const Tensor> inputs;  // each [N,H,W,C_i], inputs[0].c == y.c
  Tensor y;                        // may be inputs[0]
};
// dinput (=|+=) dy over the common channels; channels of dinput beyond dy's become 0 when mode is overwrite.
struct ShortcutBackward {
  Tensor dy, dinput;
  Grad mode = Grad::overwrite;
};
// Squeeze-excitation: y[n,h,w,c] = x[n,h,w,c] * gate[n,c] (gate [N,1,1,C]), or with a spatial gate [N,H,W,1]: *
// gate[n,h,w].
struct ScaleChannelsForward {
  Tensor x, gate, y;
};
struct ScaleChannelsBackward {
  Tensor x, gate, dy;
  Tensor dx, dgate;  // each written as its mode says
  Grad dx_mode = Grad::overwrite, dgate_mode = Grad::overwrite;
};
// Spatial attention: y = a * b, element by element, same shape.
struct SamForward {
  Tensor a, b, y;
};
struct SamBackward {
  Tensor a, b, dy;
  Tensor da, db;
  Grad da_mode = Grad::overwrite, db_mode = Grad::overwrite;
};
// Inverted dropout, y = x * keep / (1 - probability). Element e is kept when Philox(seed, iteration, layer, e) >=
// probability, so backward recomputes the mask: the same function applied to dy. y may be x.
struct Dropout {
  Tensor x, y;  // backward: dy, dx
  float probability = 0.2f;
  std::uint64_t seed = 0;
  std::uint32_t iteration = 0;
  std::uint32_t layer = 0;
  Grad mode = Grad::overwrite;  // accumulate is used in backward only
  // When not null: the iteration is step->iteration * parts + iteration, so that no two parts of a step share a mask.
  const StepState* step = nullptr;
  std::uint32_t parts = 1;
};
// Softmax over the channels of each group, with temperature: y = softmax(x / temperature).
struct SoftmaxForward {
  Tensor x, y;
  int groups = 1;
  float temperature = 1;
};
struct SoftmaxBackward {
  Tensor y, dy, dx;
  int groups = 1;
  float temperature = 1;
  Grad mode = Grad::overwrite;
};
// y = w / (1e-4 + sum of w) over the channels of each pixel, w being max(0, x), exp(x), or exp(x - max x): the
// activations normalize_channels, normalize_channels_softmax and normalize_channels_softmax_maxval of darknet.md 4, but
// with their true derivative. exp(x) does not overflow: it is computed as the third is, the 1e-4 scaled alike.
enum class ChannelNorm : std::uint8_t { relu, softmax, softmax_maxval };
struct NormalizeChannelsForward {
  Tensor x, y;  // [N,H,W,C]
  ChannelNorm kind = ChannelNorm::relu;
};
// dx may be dy when mode is overwrite.
struct NormalizeChannelsBackward {
  Tensor x, dy, dx;
  ChannelNorm kind = ChannelNorm::relu;
  Grad mode = Grad::overwrite;
};

// ---------------------------------------------------------------------------------------------------- spatial
// Out-of-image taps count as -infinity. `taps` remembers the chosen tap (row * size_w + column) of each output; first
// wins.
struct MaxPoolForward {
  PoolGeometry geometry;
  Tensor x, y;                    // [N,H,W,C], [N,P,Q,C]
  std::uint16_t* taps = nullptr;  // [N,P,Q,C] dense, out; null at inference
};
struct MaxPoolBackward {
  PoolGeometry geometry;
  Tensor dy, dx;
  const std::uint16_t* taps = nullptr;
  Grad mode = Grad::overwrite;
};
// Mean over the taps inside the image. (darknet's backward divides by size^2 at borders too; ours is the true
// gradient.)
struct LocalAvgPoolForward {
  PoolGeometry geometry;
  Tensor x, y;
};
struct LocalAvgPoolBackward {
  PoolGeometry geometry;
  Tensor dy, dx;
  Grad mode = Grad::overwrite;
};
// Mean over all pixels: [N,H,W,C] -> [N,1,1,C].
struct AvgPoolForward {
  Tensor x, y;
};
struct AvgPoolBackward {
  Tensor dy, dx;
  Grad mode = Grad::overwrite;
};
// Nearest neighbour, times scale: [N,H,W,C] -> [N,sH,sW,C].
struct UpsampleForward {
  Tensor x, y;
  int stride = 2;
  float scale = 1;
};
struct UpsampleBackward {
  Tensor dy, dx;
  int stride = 2;
  float scale = 1;
  Grad mode = Grad::overwrite;
};
// Space to depth, [N,H,W,C] -> [N,H/s,W/s,C s^2]: darknet's legacy index map, defined on planar NCHW order
// (darknet.md 1.5 "reorg"), or the plain one of [reorg3d]. `reverse` applies the inverse map. Backward is the same
// function from dy to dx with `reverse` flipped.
struct Reorg {
  Tensor x, y;
  int stride = 2;
  bool legacy = true;
  bool reverse = false;
  Grad mode = Grad::overwrite;
};

// ---------------------------------------------------------------------------------------------------- images
enum class Resampling : std::uint8_t {
  half_pixel,
  align_corners,
  area
};  // area: antialiased (triangle filter) when shrinking
enum class Fit : std::uint8_t { stretch, letterbox };

// u8 HWC pixels -> [1,H,W,C] of y: u8, or f32/bf16 in 0..1. letterbox: darknet.md 3.1, filled with 0.5 (u8: 128).
struct Resize {
  const std::uint8_t* pixels = nullptr;  // [height, width, channels], dense
  int width = 0, height = 0, channels = 3;
  Tensor y;
  Resampling resampling = Resampling::half_pixel;
  Fit fit = Fit::stretch;
};

// A photo in the training cache and its truths.
struct CachedImage {
  const std::uint8_t* pixels = nullptr;  // [height, width, 3]
  int width = 0, height = 0;
  const Truth* truths = nullptr;
  int truth_count = 0;
};

// Ranges of random change, as darknet.md 8.2-8.5 names them, and the gentler scale/aspect/shift form of our recipes.
struct AugmentSpec {
  float jitter = 0;                             // darknet: each edge moved by up to jitter * size
  float resize = 1;                             // darknet
  float scale = 0, aspect = 0, shift = 0;       // +- fractions: zoom, width/height ratio, position
  float flip = 0.5f;                            // probability of a horizontal flip
  float hue = 0, saturation = 1, exposure = 1;  // darknet's: hue +-, saturation and exposure x or / up to
  float mosaic = 0;                             // probability that an output is put together from four photos
  bool mosaic_bound = true;                     // clip truths to their quadrant
  float min_visible = 0.25f;                    // a truth that keeps less of its area is dropped (darknet: 0)
};

// Writes a batch of network inputs and their truths. Output i is drawn from photo order[i] (mosaic: and three more,
// drawn from `images` at random) with Philox(seed, iteration, i): equal on every device.
struct Augment {
  std::span<const CachedImage> images;  // the list itself lies in the device's memory
  std::span<const std::int32_t> order;  // [N] indices into images; with `step`: of iteration 0, see order_stride
  AugmentSpec spec = {};
  std::uint64_t seed = 0;
  std::uint32_t iteration = 0;
  std::uint32_t first_slot = 0;          // counter of the first output (subdivisions of one iteration differ)
  Tensor y;                              // [N,H,W,3] f32 or bf16, 0..1
  Truth* truths = nullptr;               // [N, max_truths] out
  std::int32_t* truth_counts = nullptr;  // [N] out
  int max_truths = 0;
  const StepState* step = nullptr;  // iteration
  std::int64_t order_stride = 0;    // with `step`: iteration i takes order[i * order_stride ...]
};

// Every operation and its arguments, once: declared for each namespace below, and put into a table of function pointers
// per device in engine/backend.h.
#define ROOK_OP_LIST(X)                                     \
  X(batchnorm_forward, BatchNormForward)                    \
  X(batchnorm_inference, BatchNormInference)                \
  X(batchnorm_backward, BatchNormBackward)                  \
  X(fold_batchnorm, FoldBatchNorm)                          \
  X(activation_forward, ActivationForward)                  \
  X(activation_backward, ActivationBackward)                \
  X(copy_channels, CopyChannels)                            \
  X(fill_channels, FillChannels)                            \
  X(shortcut_forward, ShortcutForward)                      \
  X(shortcut_backward, ShortcutBackward)                    \
  X(scale_channels_forward, ScaleChannelsForward)           \
  X(scale_channels_backward, ScaleChannelsBackward)         \
  X(sam_forward, SamForward)                                \
  X(sam_backward, SamBackward)                              \
  X(dropout, Dropout)                                       \
  X(softmax_forward, SoftmaxForward)                        \
  X(softmax_backward, SoftmaxBackward)                      \
  X(normalize_channels_forward, NormalizeChannelsForward)   \
  X(normalize_channels_backward, NormalizeChannelsBackward) \
  X(maxpool_forward, MaxPoolForward)                        \
  X(maxpool_backward, MaxPoolBackward)                      \
  X(local_avgpool_forward, LocalAvgPoolForward)             \
  X(local_avgpool_backward, LocalAvgPoolBackward)           \
  X(avgpool_forward, AvgPoolForward)                        \
  X(avgpool_backward, AvgPoolBackward)                      \
  X(upsample_forward, UpsampleForward)                      \
  X(upsample_backward, UpsampleBackward)                    \
  X(reorg, Reorg)                                           \
  X(gradient_norm, GradientNorm)                            \
  X(advance_step, AdvanceStep)                              \
  X(limit_gradient, LimitGradient)                          \
  X(sgd_update, SgdUpdate)                                  \
  X(adamw_update, AdamWUpdate)                              \
  X(muon_update, MuonUpdate)                                \
  X(ema_update, EmaUpdate)                                  \
  X(head_decode, HeadDecode)                                \
  X(nms, Nms)                                               \
  X(yolo_loss, YoloLoss)                                    \
  X(resize, Resize)                                         \
  X(augment, Augment)

// The operations that need scratch memory: NAME_workspace(args) bytes, which do not depend on the data.
#define ROOK_WORKSPACE_LIST(X)             \
  X(batchnorm_forward, BatchNormForward)   \
  X(batchnorm_backward, BatchNormBackward) \
  X(gradient_norm, GradientNorm)           \
  X(muon_update, MuonUpdate)               \
  X(nms, Nms)                              \
  X(yolo_loss, YoloLoss)

#define ROOK_DECLARE_OP(name, Args) void name(const Args&, Stream = {});
#define ROOK_DECLARE_WORKSPACE(name, Args) std::size_t name##_workspace(const Args&);
namespace cpu {
ROOK_OP_LIST(ROOK_DECLARE_OP)
ROOK_WORKSPACE_LIST(ROOK_DECLARE_WORKSPACE)
}  // namespace cpu
namespace ref {
ROOK_OP_LIST(ROOK_DECLARE_OP)
ROOK_WORKSPACE_LIST(ROOK_DECLARE_WORKSPACE)
}  // namespace ref
namespace cuda {
ROOK_OP_LIST(ROOK_DECLARE_OP)
ROOK_WORKSPACE_LIST(ROOK_DECLARE_WORKSPACE)
}  // namespace cuda
namespace emu {
ROOK_OP_LIST(ROOK_DECLARE_OP)
ROOK_WORKSPACE_LIST(ROOK_DECLARE_WORKSPACE)
}  // namespace emu
#undef ROOK_DECLARE_OP
#undef ROOK_DECLARE_WORKSPACE

}  // namespace rook
