/* rook in plain C: every operation of kernels/ops.h, and convolution, on memory that the caller owns.
 *
 * Each operation is one struct of arguments and one function that takes it and says where to run:
 *
 *   rook_maxpool_forward_args args = {.geometry = {2, 2, 2, 2, 0}, .x = x, .y = y};
 *   if (rook_maxpool_forward(&args, (rook_stream){.device = ROOK_CPU})) puts(rook_last_error());
 *
 * - Nothing is allocated on a device, nothing waits: work is put on the stream (on the CPU it is done on return, on
 *   ROOK_EMU as late as on a GPU: rook_synchronize). The exceptions say so.
 * - A function returns ROOK_OK or why not; rook_last_error() then has one line that says what is wrong. No exception
 *   leaves the library. Arguments are checked before memory is touched.
 * - Pointers and tensors are the device's memory. What is read on the host during the call says "host".
 * - Zero is a value: there are no defaults. What may be null says "or null".
 * - Letters: N,H,W,C input; K,R,S,C filters; P,Q output height and width. Activations are f32 or bf16 (f16 on a GPU,
 *   f64 on ROOK_REF); parameters and their gradients are f32. Formulas: kernels/ops.h, which this header follows field
 *   by field.
 * - Scratch: rook_OP_workspace() says how many bytes `workspace` must have.
 * - Any number of threads may call; the message of an error belongs to the thread.
 *
 * Build against it: cc -std=c11 -I bench/c_api my.c -L build/release -lrook. From Python: bench/python/rook_ops.py.
 */
#ifndef ROOK_H
#define ROOK_H

#include <stddef.h> /* NOLINT: this is C */
#include <stdint.h> /* NOLINT */

#ifdef __cplusplus
extern "C" {
#endif

#define ROOK_API __attribute__((visibility("default")))

/* Grows when a struct or a meaning changes; rook_abi_version() is the library's. */
#define ROOK_ABI 1

typedef int32_t rook_status;
enum {
  ROOK_OK = 0,
  ROOK_REFUSED = 1, /* the arguments or the device: the message says what and where */
  ROOK_OUT_OF_MEMORY = 2,
  ROOK_FAILED = 3 /* anything else */
};

typedef int32_t rook_dtype;
enum { ROOK_U8 = 0, ROOK_F32 = 1, ROOK_F64 = 2, ROOK_BF16 = 3, ROOK_F16 = 4 };

/* ROOK_EMU runs the CUDA kernels on the host, slowly; ROOK_REF the plain double-precision loops that rook's tests
 * compare with. Both read and write host memory, as ROOK_CPU does. */
typedef int32_t rook_device;
enum { ROOK_CPU = 0, ROOK_CUDA = 1, ROOK_EMU = 2, ROOK_REF = 3 };

/* Where and in which order work is done. handle: of CUDA a cudaStream_t, null for the default stream; else null. */
typedef struct rook_stream {
  rook_device device;
  void* handle;
} rook_stream;

/* A view of an array [n, h, w, c] in NHWC order: `pitch` elements from one pixel to the next (pitch >= c), so that a
 * slice of the channels of a wider array is a tensor too. */
typedef struct rook_tensor {
  void* data;
  rook_dtype dtype;
  int32_t n;
  int32_t h;
  int32_t w;
  int32_t c;
  int64_t pitch;
} rook_tensor;

/* What a backward function does with the gradient it computes: write it, add it to what is there, or nothing. */
typedef int32_t rook_grad;
enum { ROOK_OVERWRITE = 0, ROOK_ACCUMULATE = 1, ROOK_NONE = 2 };

typedef int32_t rook_activation;
enum {
  ROOK_LINEAR = 0,
  ROOK_LEAKY = 1, /* slope 0.1 */
  ROOK_RELU = 2,
  ROOK_RELU6 = 3,
  ROOK_LOGISTIC = 4,
  ROOK_LOGGY = 5,
  ROOK_MISH = 6,
  ROOK_SWISH = 7,
  ROOK_HARD_MISH = 8,
  ROOK_TANH = 9,
  ROOK_ELU = 10,
  ROOK_SELU = 11,
  ROOK_GELU = 12,
  ROOK_RELIE = 13,
  ROOK_RAMP = 14,
  ROOK_PLSE = 15,
  ROOK_STAIR = 16,
  ROOK_HARDTAN = 17,
  ROOK_LHTAN = 18
};

/* What normalises the channels of a pixel: max(0, x), exp(x) or exp(x - max x), over 1e-4 + the sum of these. */
typedef int32_t rook_channel_norm;
enum { ROOK_NORM_RELU = 0, ROOK_NORM_SOFTMAX = 1, ROOK_NORM_SOFTMAX_MAXVAL = 2 };

/* ------------------------------------------------------------------------------------------------- the library */

ROOK_API const char* rook_version(void);
ROOK_API int32_t rook_abi_version(void);
/* What this thread's last failed call said, one line; "" before the first. Valid until the thread's next failure. */
ROOK_API const char* rook_last_error(void);
/* The device's name, driver and libraries into `text`, cut to `capacity` bytes with the closing zero. ROOK_REFUSED with
 * the reason where it cannot be used. */
ROOK_API rook_status rook_describe_device(rook_device device, char* text, size_t capacity);
/* Waits until everything on the stream is done, and reports what went wrong in it. */
ROOK_API rook_status rook_synchronize(rook_stream stream);
/* For programs that have no other way to a device's memory: zeroed, aligned to 256 bytes. These may wait. */
ROOK_API rook_status rook_allocate(rook_device device, size_t bytes, void** memory);
ROOK_API rook_status rook_release(rook_device device, void* memory);
/* Between host and device memory in any direction, in the order of the stream. */
ROOK_API rook_status rook_copy(void* to, const void* from, size_t bytes, rook_stream stream);

/* ------------------------------------------------------------------------------------------------- DLPack */

struct DLManagedTensor;          /* of dlpack.h (https://dmlc.github.io/dlpack): what __dlpack__() of PyTorch, NumPy, */
struct DLManagedTensorVersioned; /* JAX and CuPy gives */

/* Which order the extents of a DLPack tensor have. NCHW: PyTorch's, in the memory format channels_last. */
typedef int32_t rook_axes;
enum { ROOK_NHWC = 0, ROOK_NCHW = 1 };

/* A view of a DLPack tensor of up to four dimensions (missing ones are 1, the last is the channels) with the channels
 * next to each other and no gaps but the pitch. The tensor stays the caller's, who calls its deleter, and must outlive
 * the view. `device` gets ROOK_CPU or ROOK_CUDA. */
ROOK_API rook_status rook_tensor_from_dlpack(const struct DLManagedTensor* managed, rook_axes axes, rook_tensor* tensor,
                                             rook_device* device);
ROOK_API rook_status rook_tensor_from_dlpack_versioned(const struct DLManagedTensorVersioned* managed, rook_axes axes,
                                                       rook_tensor* tensor, rook_device* device);

/* ------------------------------------------------------------------------------------------------- batch norm */

/* Training forward: mean and biased variance of z over N*P*Q, y = act(gamma (z - mean) inv_std + beta), and
 * running <- (1 - momentum) running + momentum batch, the latter with the unbiased variance. */
typedef struct rook_batchnorm_forward_args {
  rook_tensor z;       /* [N,P,Q,K] convolution output, kept for backward */
  rook_tensor y;       /* [N,P,Q,K] out; may be a slice */
  const float* gamma;  /* [K] */
  const float* beta;   /* [K] */
  float* mean;         /* [K] out, kept for backward */
  float* inv_std;      /* [K] out, kept for backward: 1 / sqrt(var + eps) */
  float* running_mean; /* [K] updated */
  float* running_var;  /* [K] updated */
  float momentum;
  float eps;
  rook_activation activation;
  void* workspace;
} rook_batchnorm_forward_args;
ROOK_API rook_status rook_batchnorm_forward(const rook_batchnorm_forward_args* args, rook_stream stream);
ROOK_API rook_status rook_batchnorm_forward_workspace(const rook_batchnorm_forward_args* args, rook_stream stream,
                                                      size_t* bytes);

/* Inference: the running estimates normalise. */
typedef struct rook_batchnorm_inference_args {
  rook_tensor z; /* [N,P,Q,K] */
  rook_tensor y; /* [N,P,Q,K] out; may be z */
  const float* gamma;
  const float* beta;
  const float* running_mean;
  const float* running_var;
  float eps;
  rook_activation activation;
} rook_batchnorm_inference_args;
ROOK_API rook_status rook_batchnorm_inference(const rook_batchnorm_inference_args* args, rook_stream stream);

/* Backward with the activation's derivative; the pre-activation is recomputed from z. */
typedef struct rook_batchnorm_backward_args {
  rook_tensor z;  /* [N,P,Q,K] as in forward */
  rook_tensor dy; /* [N,P,Q,K] */
  rook_tensor dz; /* [N,P,Q,K] out, overwritten; may be dy */
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* inv_std;
  float* dgamma; /* [K] added to */
  float* dbeta;  /* [K] added to */
  rook_activation activation;
  void* workspace;
} rook_batchnorm_backward_args;
ROOK_API rook_status rook_batchnorm_backward(const rook_batchnorm_backward_args* args, rook_stream stream);
ROOK_API rook_status rook_batchnorm_backward_workspace(const rook_batchnorm_backward_args* args, rook_stream stream,
                                                       size_t* bytes);

/* Batch norm folded into the convolution before it: weights gamma / sqrt(running_var + eps), and
 * beta - running_mean gamma / sqrt(running_var + eps). */
typedef struct rook_fold_batchnorm_args {
  const float* weights; /* [K, count] */
  int32_t k;
  int64_t count;             /* weights of one filter */
  const float* gamma;        /* [K], or null: weights and beta are copied */
  const float* beta;         /* [K] */
  const float* running_mean; /* [K], null with gamma */
  const float* running_var;  /* [K], null with gamma */
  float eps;
  float* folded_weights; /* [K, count] out */
  float* folded_bias;    /* [K] out */
} rook_fold_batchnorm_args;
ROOK_API rook_status rook_fold_batchnorm(const rook_fold_batchnorm_args* args, rook_stream stream);

/* ------------------------------------------------------------------------------------------------- element-wise */

/* y = act(x). */
typedef struct rook_activation_forward_args {
  rook_tensor x; /* [N,H,W,C] */
  rook_tensor y; /* out; may be x */
  rook_activation activation;
} rook_activation_forward_args;
ROOK_API rook_status rook_activation_forward(const rook_activation_forward_args* args, rook_stream stream);

/* dx (=|+=) dy act'(x). */
typedef struct rook_activation_backward_args {
  rook_tensor x; /* the pre-activation */
  rook_tensor dy;
  rook_tensor dx; /* out; may be dy when overwritten */
  rook_activation activation;
  rook_grad mode;
} rook_activation_backward_args;
ROOK_API rook_status rook_activation_backward(const rook_activation_backward_args* args, rook_stream stream);

/* dst (=|+=) src. */
typedef struct rook_copy_channels_args {
  rook_tensor src;
  rook_tensor dst; /* out: same n, h, w, c; the dtypes may differ */
  rook_grad mode;
} rook_copy_channels_args;
ROOK_API rook_status rook_copy_channels(const rook_copy_channels_args* args, rook_stream stream);

/* dst = value, in every pixel. */
typedef struct rook_fill_channels_args {
  rook_tensor dst;
  float value;
} rook_fill_channels_args;
ROOK_API rook_status rook_fill_channels(const rook_fill_channels_args* args, rook_stream stream);

/* y = sum of the inputs; one with fewer channels than y adds to the first ones, surplus channels are ignored. */
typedef struct rook_shortcut_forward_args {
  const rook_tensor* inputs; /* host: [input_count], each [N,H,W,C_i]; the first has y's channels */
  int32_t input_count;
  rook_tensor y; /* out; may be the first input */
} rook_shortcut_forward_args;
ROOK_API rook_status rook_shortcut_forward(const rook_shortcut_forward_args* args, rook_stream stream);

/* dinput (=|+=) dy over the common channels; further ones of dinput become 0 when overwritten. */
typedef struct rook_shortcut_backward_args {
  rook_tensor dy;
  rook_tensor dinput;
  rook_grad mode;
} rook_shortcut_backward_args;
ROOK_API rook_status rook_shortcut_backward(const rook_shortcut_backward_args* args, rook_stream stream);

/* Squeeze-excitation: y[n,h,w,c] = x[n,h,w,c] gate[n,c], or gate[n,h,w]. */
typedef struct rook_scale_channels_forward_args {
  rook_tensor x;    /* [N,H,W,C] */
  rook_tensor gate; /* [N,1,1,C] or [N,H,W,1] */
  rook_tensor y;    /* out */
} rook_scale_channels_forward_args;
ROOK_API rook_status rook_scale_channels_forward(const rook_scale_channels_forward_args* args, rook_stream stream);

typedef struct rook_scale_channels_backward_args {
  rook_tensor x;
  rook_tensor gate;
  rook_tensor dy;
  rook_tensor dx;    /* out, as dx_mode says */
  rook_tensor dgate; /* out, as dgate_mode says */
  rook_grad dx_mode;
  rook_grad dgate_mode;
} rook_scale_channels_backward_args;
ROOK_API rook_status rook_scale_channels_backward(const rook_scale_channels_backward_args* args, rook_stream stream);

/* Spatial attention: y = a b, element by element. */
typedef struct rook_sam_forward_args {
  rook_tensor a;
  rook_tensor b;
  rook_tensor y; /* out */
} rook_sam_forward_args;
ROOK_API rook_status rook_sam_forward(const rook_sam_forward_args* args, rook_stream stream);

typedef struct rook_sam_backward_args {
  rook_tensor a;
  rook_tensor b;
  rook_tensor dy;
  rook_tensor da; /* out, as da_mode says */
  rook_tensor db; /* out, as db_mode says */
  rook_grad da_mode;
  rook_grad db_mode;
} rook_sam_backward_args;
ROOK_API rook_status rook_sam_backward(const rook_sam_backward_args* args, rook_stream stream);

/* What changes from step to step of a training, in the device's memory. Where an operation has `step` and it is not
 * null, its values are taken instead of the fields they are named after. */
typedef struct rook_step_state {
  int64_t seen;           /* images before this step */
  int64_t optimizer_step; /* from 1 */
  uint32_t iteration;
  int32_t bad_segment; /* -1; a segment with a gradient that is not finite: updates then change nothing */
  float lr;
  float gradient_scale;
  float ema_decay;
} rook_step_state;

/* y = x keep / (1 - probability); element e is kept when Philox(seed, iteration, layer, e) >= probability. Backward is
 * the same function from dy to dx. */
typedef struct rook_dropout_args {
  rook_tensor x;
  rook_tensor y; /* out; may be x */
  float probability;
  uint64_t seed;
  uint32_t iteration;
  uint32_t layer;
  rook_grad mode;              /* accumulate: backward only */
  const rook_step_state* step; /* or null; then the iteration is step->iteration * parts + iteration */
  uint32_t parts;
} rook_dropout_args;
ROOK_API rook_status rook_dropout(const rook_dropout_args* args, rook_stream stream);

/* Over the channels of each group: y = softmax(x / temperature). */
typedef struct rook_softmax_forward_args {
  rook_tensor x;
  rook_tensor y; /* out */
  int32_t groups;
  float temperature;
} rook_softmax_forward_args;
ROOK_API rook_status rook_softmax_forward(const rook_softmax_forward_args* args, rook_stream stream);

typedef struct rook_softmax_backward_args {
  rook_tensor y;
  rook_tensor dy;
  rook_tensor dx; /* out */
  int32_t groups;
  float temperature;
  rook_grad mode;
} rook_softmax_backward_args;
ROOK_API rook_status rook_softmax_backward(const rook_softmax_backward_args* args, rook_stream stream);

/* Over the channels of each pixel. */
typedef struct rook_normalize_channels_forward_args {
  rook_tensor x;
  rook_tensor y; /* out */
  rook_channel_norm kind;
} rook_normalize_channels_forward_args;
ROOK_API rook_status rook_normalize_channels_forward(const rook_normalize_channels_forward_args* args,
                                                     rook_stream stream);

typedef struct rook_normalize_channels_backward_args {
  rook_tensor x;
  rook_tensor dy;
  rook_tensor dx; /* out; may be dy when it is overwritten */
  rook_channel_norm kind;
  rook_grad mode;
} rook_normalize_channels_backward_args;
ROOK_API rook_status rook_normalize_channels_backward(const rook_normalize_channels_backward_args* args,
                                                      rook_stream stream);

/* ------------------------------------------------------------------------------------------------- spatial */

/* Padding is darknet's: the total of both sides per axis; the first window starts at -(padding / 2), and there are
 * (extent + padding - size) / stride + 1 of them. */
typedef struct rook_pool_geometry {
  int32_t size_h;
  int32_t size_w;
  int32_t stride_h;
  int32_t stride_w;
  int32_t padding;
} rook_pool_geometry;

/* Taps outside of the image count as -infinity; of equals the first is chosen. */
typedef struct rook_maxpool_forward_args {
  rook_pool_geometry geometry;
  rook_tensor x;  /* [N,H,W,C] */
  rook_tensor y;  /* [N,P,Q,C] out */
  uint16_t* taps; /* [N,P,Q,C] out, the chosen tap: row * size_w + column; or null */
} rook_maxpool_forward_args;
ROOK_API rook_status rook_maxpool_forward(const rook_maxpool_forward_args* args, rook_stream stream);

typedef struct rook_maxpool_backward_args {
  rook_pool_geometry geometry;
  rook_tensor dy;
  rook_tensor dx; /* out */
  const uint16_t* taps;
  rook_grad mode;
} rook_maxpool_backward_args;
ROOK_API rook_status rook_maxpool_backward(const rook_maxpool_backward_args* args, rook_stream stream);

/* Mean over the taps inside the image. */
typedef struct rook_local_avgpool_forward_args {
  rook_pool_geometry geometry;
  rook_tensor x; /* [N,H,W,C] */
  rook_tensor y; /* [N,P,Q,C] out */
} rook_local_avgpool_forward_args;
ROOK_API rook_status rook_local_avgpool_forward(const rook_local_avgpool_forward_args* args, rook_stream stream);

typedef struct rook_local_avgpool_backward_args {
  rook_pool_geometry geometry;
  rook_tensor dy;
  rook_tensor dx; /* out */
  rook_grad mode;
} rook_local_avgpool_backward_args;
ROOK_API rook_status rook_local_avgpool_backward(const rook_local_avgpool_backward_args* args, rook_stream stream);

/* Mean over all pixels. */
typedef struct rook_avgpool_forward_args {
  rook_tensor x; /* [N,H,W,C] */
  rook_tensor y; /* [N,1,1,C] out */
} rook_avgpool_forward_args;
ROOK_API rook_status rook_avgpool_forward(const rook_avgpool_forward_args* args, rook_stream stream);

typedef struct rook_avgpool_backward_args {
  rook_tensor dy;
  rook_tensor dx; /* out */
  rook_grad mode;
} rook_avgpool_backward_args;
ROOK_API rook_status rook_avgpool_backward(const rook_avgpool_backward_args* args, rook_stream stream);

/* Nearest neighbour, times scale. */
typedef struct rook_upsample_forward_args {
  rook_tensor x;  /* [N,H,W,C] */
  rook_tensor y;  /* [N,sH,sW,C] out */
  int32_t stride; /* s */
  float scale;
} rook_upsample_forward_args;
ROOK_API rook_status rook_upsample_forward(const rook_upsample_forward_args* args, rook_stream stream);

typedef struct rook_upsample_backward_args {
  rook_tensor dy;
  rook_tensor dx; /* out */
  int32_t stride;
  float scale;
  rook_grad mode;
} rook_upsample_backward_args;
ROOK_API rook_status rook_upsample_backward(const rook_upsample_backward_args* args, rook_stream stream);

/* Space to depth by darknet's legacy index map, or the plain one. Backward is the same function from dy to dx with
 * `reverse` flipped. */
typedef struct rook_reorg_args {
  rook_tensor x;   /* [N,H,W,C] */
  rook_tensor y;   /* [N,H/s,W/s,C s^2] out */
  int32_t stride;  /* s */
  int32_t legacy;  /* 1: darknet's map */
  int32_t reverse; /* 1: the inverse map, from y's shape to x's */
  rook_grad mode;
} rook_reorg_args;
ROOK_API rook_status rook_reorg(const rook_reorg_args* args, rook_stream stream);

/* ------------------------------------------------------------------------------------------------- optimizer */

/* A run of parameters [begin, end) in a flat array that is updated alike. Lists of them lie in the device's memory. */
typedef struct rook_param_segment {
  int64_t begin;
  int64_t end;
  float lr_scale; /* 0: frozen, left untouched */
  float decay;    /* weight decay */
  int32_t layer;  /* for messages */
} rook_param_segment;

/* Sum of squares of a gradient, and the last segment with an element that is not finite. Frozen ones are left out. */
typedef struct rook_gradient_norm_args {
  const float* gradient;
  const rook_param_segment* segments;
  int64_t segment_count;
  double* sum_of_squares; /* [1] out */
  int32_t* bad_segment;   /* [1] out; -1: none */
  void* workspace;
} rook_gradient_norm_args;
ROOK_API rook_status rook_gradient_norm(const rook_gradient_norm_args* args, rook_stream stream);
ROOK_API rook_status rook_gradient_norm_workspace(const rook_gradient_norm_args* args, rook_stream stream,
                                                  size_t* bytes);

/* A step of training begins: iteration + 1, lr = lrs[iteration], ema_decay = ema_decays[iteration], seen + images,
 * optimizer_step + 1, gradient_scale = 1. */
typedef struct rook_advance_step_args {
  rook_step_state* step;
  const float* lrs;        /* [iterations]; the last holds from there on */
  const float* ema_decays; /* [iterations], or null */
  int64_t iterations;
  int32_t images;
} rook_advance_step_args;
ROOK_API rook_status rook_advance_step(const rook_advance_step_args* args, rook_stream stream);

/* step->gradient_scale = scale min(1, clip / (scale norm)) (clip 0: scale), and the first bad segment ever seen. */
typedef struct rook_limit_gradient_args {
  rook_step_state* step;
  const double* sum_of_squares; /* [1] */
  const int32_t* bad_segment;   /* [1] */
  float scale;
  float clip;
} rook_limit_gradient_args;
ROOK_API rook_status rook_limit_gradient(const rook_limit_gradient_args* args, rook_stream stream);

/* v <- momentum v + (scale g + decay w); w <- w - lr lr_scale v. */
typedef struct rook_sgd_update_args {
  float* weights;
  const float* gradient;
  float* velocity;
  const rook_param_segment* segments;
  int64_t segment_count;
  float lr;
  float momentum;
  float gradient_scale;
  const rook_step_state* step; /* or null; lr, gradient_scale, bad_segment */
} rook_sgd_update_args;
ROOK_API rook_status rook_sgd_update(const rook_sgd_update_args* args, rook_stream stream);

/* AdamW: decay is decoupled, w <- w - lr lr_scale (m^ / (sqrt(v^) + eps) + decay w). */
typedef struct rook_adamw_update_args {
  float* weights;
  const float* gradient;
  float* m;
  float* v;
  const rook_param_segment* segments;
  int64_t segment_count;
  float lr;
  float beta1;
  float beta2;
  float eps;
  int64_t optimizer_step; /* from 1 */
  float gradient_scale;
  const rook_step_state* step; /* or null; lr, gradient_scale, optimizer_step, bad_segment */
} rook_adamw_update_args;
ROOK_API rook_status rook_adamw_update(const rook_adamw_update_args* args, rook_stream stream);

/* Muon: weights [rows, cols] behind batch norm, by momentum made nearly orthogonal; a step turns them by lr lr_scale
   and keeps their length. */
typedef struct rook_muon_update_args {
  float* weights;
  const float* gradient;
  float* velocity;
  int32_t rows;
  int32_t cols;
  float lr;
  float lr_scale;
  float momentum;
  int32_t iterations; /* of Newton and Schulz; 3 is enough */
  float gradient_scale;
  void* workspace;             /* rook_muon_update_workspace bytes */
  const rook_step_state* step; /* or null; lr, gradient_scale, bad_segment */
} rook_muon_update_args;
ROOK_API rook_status rook_muon_update(const rook_muon_update_args* args, rook_stream stream);
ROOK_API rook_status rook_muon_update_workspace(const rook_muon_update_args* args, rook_stream stream, size_t* bytes);

/* average <- decay average + (1 - decay) value. */
typedef struct rook_ema_update_args {
  float* average;
  const float* value;
  int64_t count;
  float decay;
  const rook_step_state* step; /* or null; ema_decay as decay, bad_segment */
} rook_ema_update_args;
ROOK_API rook_status rook_ema_update(const rook_ema_update_args* args, rook_stream stream);

/* ------------------------------------------------------------------------------------------------- detection head */

#define ROOK_MAX_ANCHORS 24

typedef int32_t rook_head_kind;
enum { ROOK_YOLO = 0, ROOK_GAUSSIAN = 1, ROOK_REGION = 2 };

/* A head over logits [N,H,W,A entries]: entry e of anchor a is channel a * entries + e; entries = 5 + classes, Gaussian
 * 9 + classes. Anchors: in pixels of the network's input; of region in grid cells. */
typedef struct rook_head_spec {
  rook_head_kind kind;
  int32_t classes;
  int32_t anchors;                  /* A */
  float anchor_w[ROOK_MAX_ANCHORS]; /* all of the network */
  float anchor_h[ROOK_MAX_ANCHORS];
  int32_t total_anchors;
  int32_t mask[ROOK_MAX_ANCHORS]; /* which of them are this head's */
  float scale_x_y;                /* 1 where the cfg says nothing */
  int32_t new_coords;
  int32_t softmax; /* region: classes by softmax */
} rook_head_spec;

/* Centre and size relative to the image. */
typedef struct rook_detection {
  float x;
  float y;
  float w;
  float h;
  float score;
  float objectness;
  int32_t cls;
  int32_t index; /* of the anchor cell over all heads */
} rook_detection;

/* Boxes whose objectness and class probability exceed `threshold`, appended to detections[n * capacity ...]. An image's
 * count goes on growing past the capacity; the surplus is not stored. */
typedef struct rook_head_decode_args {
  rook_head_spec head;
  rook_tensor logits; /* [N,H,W,A entries] */
  int32_t net_w;      /* pixels */
  int32_t net_h;
  float threshold;
  rook_detection* detections; /* [N, capacity] */
  int32_t* counts;            /* [N] added to */
  int32_t capacity;
  int32_t first_index; /* anchor cells of the heads before */
  int32_t best_class;  /* 1: of a box only its likeliest class */
} rook_head_decode_args;
ROOK_API rook_status rook_head_decode(const rook_head_decode_args* args, rook_stream stream);

typedef int32_t rook_nms_kind;
enum { ROOK_NMS_PLAIN = 0, ROOK_NMS_GREEDY = 1, ROOK_NMS_DIOU = 2 };

/* Suppression per image and class; survivors move to the front, by falling score. */
typedef struct rook_nms_args {
  rook_detection* detections; /* [N, capacity] in and out */
  int32_t* counts;            /* [N] in: candidates, out: survivors */
  int32_t images;             /* N */
  int32_t capacity;
  rook_nms_kind kind;
  float threshold;
  float beta; /* diou */
  void* workspace;
} rook_nms_args;
ROOK_API rook_status rook_nms(const rook_nms_args* args, rook_stream stream);
ROOK_API rook_status rook_nms_workspace(const rook_nms_args* args, rook_stream stream, size_t* bytes);

/* ------------------------------------------------------------------------------------------------- loss */

typedef int32_t rook_box_loss;
enum { ROOK_BOX_MSE = 0, ROOK_BOX_IOU = 1, ROOK_BOX_GIOU = 2, ROOK_BOX_DIOU = 3, ROOK_BOX_CIOU = 4 };
typedef int32_t rook_iou_kind;
enum { ROOK_IOU = 0, ROOK_GIOU = 1, ROOK_DIOU = 2, ROOK_CIOU = 3 };
typedef int32_t rook_loss_mode;
enum { ROOK_LOSS_FIXED = 0, ROOK_LOSS_DARKNET = 1 };

/* Keys of a cfg, by their names there. */
typedef struct rook_head_loss_params {
  float ignore_thresh;
  float truth_thresh;
  float iou_thresh; /* below 1: further anchors with a shape IoU above it match too */
  rook_iou_kind iou_thresh_kind;
  rook_box_loss box_loss;
  float iou_normalizer;
  float obj_normalizer;
  float cls_normalizer;
  float delta_normalizer;
  float max_delta;
  float label_smooth_eps;
  int32_t focal_loss;
  int32_t objectness_smooth;
  int32_t smooth_bug;
  const float* class_multipliers; /* [classes], or null */
  float noobject_scale;           /* this and the following: region only */
  float object_scale;
  float coord_scale;
  float class_scale;
  float thresh;
  int32_t rescore;
  int32_t bias_match;
} rook_head_loss_params;

typedef struct rook_loss_head {
  rook_head_spec head;
  rook_head_loss_params params;
  rook_tensor logits;  /* [N,H,W,A entries] f32 */
  rook_tensor dlogits; /* out, overwritten; f32 or bf16 */
} rook_loss_head;

/* A truth: centre and size relative to the image, and its class. */
typedef struct rook_truth {
  float x;
  float y;
  float w;
  float h;
  int32_t cls;
} rook_truth;

typedef struct rook_loss_parts {
  float box; /* weighted; their sum is the loss */
  float objectness;
  float classes;
  float mean_iou; /* of the assigned anchors */
  float mean_obj;
  float mean_noobj;
  int32_t positives;
  int32_t truths;
  int32_t unmatched;
} rook_loss_parts;

/* Loss and gradient of all heads at once. */
typedef struct rook_yolo_loss_args {
  rook_loss_mode mode;
  const rook_loss_head* heads; /* host: [head_count] */
  int32_t head_count;
  const rook_truth* truths;    /* [N, max_truths] */
  const int32_t* truth_counts; /* [N] */
  int32_t max_truths;
  int32_t net_w;
  int32_t net_h;
  float gradient_scale;
  int64_t seen;           /* images before this batch */
  rook_loss_parts* parts; /* [1 + head_count] out: total, then per head */
  float* image_loss;      /* [N] out, or null */
  void* workspace;
  const rook_step_state* step; /* or null; seen */
} rook_yolo_loss_args;
ROOK_API rook_status rook_yolo_loss(const rook_yolo_loss_args* args, rook_stream stream);
ROOK_API rook_status rook_yolo_loss_workspace(const rook_yolo_loss_args* args, rook_stream stream, size_t* bytes);

/* ------------------------------------------------------------------------------------------------- images */

typedef int32_t rook_resampling;
enum { ROOK_HALF_PIXEL = 0, ROOK_ALIGN_CORNERS = 1, ROOK_AREA = 2 };
typedef int32_t rook_fit;
enum { ROOK_STRETCH = 0, ROOK_LETTERBOX = 1 };

/* u8 pixels -> y: u8, or f32/bf16 in 0..1. */
typedef struct rook_resize_args {
  const uint8_t* pixels; /* [height, width, channels] */
  int32_t width;
  int32_t height;
  int32_t channels;
  rook_tensor y; /* [1,H,W,channels] out */
  rook_resampling resampling;
  rook_fit fit;
} rook_resize_args;
ROOK_API rook_status rook_resize(const rook_resize_args* args, rook_stream stream);

typedef struct rook_cached_image {
  const uint8_t* pixels; /* [height, width, 3] */
  int32_t width;
  int32_t height;
  const rook_truth* truths;
  int32_t truth_count;
} rook_cached_image;

/* Ranges of random change, as darknet names them, and scale, aspect, shift: +- fractions. */
typedef struct rook_augment_spec {
  float jitter;
  float resize; /* 1: none */
  float scale;
  float aspect;
  float shift;
  float flip; /* probability */
  float hue;
  float saturation; /* 1: none */
  float exposure;   /* 1: none */
  float mosaic;     /* probability that an output is put together from four photos */
  int32_t mosaic_bound;
  float min_visible; /* a truth that keeps less of its area is dropped */
} rook_augment_spec;

/* A batch of network inputs and their truths, drawn with Philox(seed, iteration, i): equal on every device. */
typedef struct rook_augment_args {
  const rook_cached_image* images; /* [image_count] in the device's memory */
  int64_t image_count;
  const int32_t* order; /* [order_count = N] indices into images; with `step`: of iteration 0 */
  int64_t order_count;
  rook_augment_spec spec;
  uint64_t seed;
  uint32_t iteration;
  uint32_t first_slot;
  rook_tensor y;         /* [N,H,W,3] out, 0..1 */
  rook_truth* truths;    /* [N, max_truths] out */
  int32_t* truth_counts; /* [N] out */
  int32_t max_truths;
  const rook_step_state* step; /* or null; iteration */
  int64_t order_stride;        /* with `step`: iteration i takes order[i * order_stride ...] */
} rook_augment_args;
ROOK_API rook_status rook_augment(const rook_augment_args* args, rook_stream stream);

/* ------------------------------------------------------------------------------------------------- convolution */

typedef int32_t rook_conv_direction;
enum { ROOK_FPROP = 0, ROOK_DGRAD = 1, ROOK_WGRAD = 2 };

/* P = (h + 2 pad_h - r) / stride_h + 1; the padding that is applied is pad * dilation. */
typedef struct rook_conv_problem {
  rook_conv_direction direction;
  int32_t c;
  int32_t k;
  int32_t r;
  int32_t s;
  int32_t stride_h;
  int32_t stride_w;
  int32_t pad_h;
  int32_t pad_w;
  int32_t dilation;
  int32_t groups;
  int32_t n; /* input */
  int32_t h;
  int32_t w;
  int32_t pitch_x; /* elements from pixel to pixel of x and y; 0: as many as channels */
  int32_t pitch_y;
  rook_dtype x;               /* of x and dx */
  rook_dtype y;               /* of y and dy */
  int32_t bias;               /* fprop adds bias[k]; wgrad computes its gradient */
  rook_activation activation; /* fprop applies it */
} rook_conv_problem;

/* Name of implementation `index` of a device, in order of preference; null past the last. */
ROOK_API const char* rook_conv_row(rook_device device, int32_t index);

typedef struct rook_conv_plan {
  const char* row;     /* that runs it */
  size_t packed_bytes; /* of the weights as this row reads them */
  size_t workspace_bytes;
} rook_conv_plan;

/* What the row of that name needs for a problem; null: the first that supports it. */
ROOK_API rook_status rook_conv_plan_for(const rook_conv_problem* problem, const char* row, rook_stream stream,
                                        rook_conv_plan* plan);
/* fprop, dgrad: f32 weights [K,R,S,C/groups] into the form that plan->row reads. */
ROOK_API rook_status rook_conv_pack(const rook_conv_problem* problem, const rook_conv_plan* plan, const float* weights,
                                    void* packed, rook_stream stream);

typedef struct rook_conv_args {
  rook_tensor x;       /* [N,H,W,C]; dgrad: dx, out */
  rook_tensor y;       /* [N,P,Q,K]; fprop: out; dgrad, wgrad: dy */
  const void* weights; /* fprop, dgrad: packed, of the same plan */
  const float* bias;   /* fprop: [K], or null */
  float* dweights;     /* wgrad: [K,R,S,C/groups] added to */
  float* dbias;        /* wgrad: [K] added to, or null */
  rook_grad mode;      /* dgrad */
  void* workspace;
} rook_conv_args;
ROOK_API rook_status rook_conv(const rook_conv_problem* problem, const rook_conv_plan* plan, const rook_conv_args* args,
                               rook_stream stream);

#ifdef __cplusplus
}
#endif

#endif
