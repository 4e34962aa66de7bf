/* Calls librook.so from plain C, compiled as C11: each function runs an operation and compares it with loops of its own
 * in double. Sizes are odd and unequal, and outputs start as NaN. */
#include "tests/c_api/c_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/c_api/dlpack_abi.h"

static char message[1200];

#define FAIL(...) return snprintf(message, sizeof message, __VA_ARGS__), message
#define TRY(call) \
  if (call) FAIL("%s: %s", #call, rook_last_error())
#define CLOSE(what, i, actual, expected, tolerance)                    \
  if (!(fabs((double)(actual) - (double)(expected)) <= (tolerance)))   \
  FAIL("%s[%d]: %g instead of %g", what, (int)(i), (double)(actual), (double)(expected))

static void fill(float* values, int count, unsigned seed) {
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
  }
}

static void poison(float* values, int count) {
  for (int i = 0; i < count; ++i) values[i] = NAN;
}

static rook_tensor tensor(float* data, int n, int h, int w, int c, int pitch) {
  return (rook_tensor){.data = data, .dtype = ROOK_F32, .n = n, .h = h, .w = w, .c = c, .pitch = pitch};
}

/* x is a slice: channels 2..6 of 8. */
const char* c_maxpool(rook_device device) {
  enum { N = 2, H = 7, W = 5, C = 5, PITCH = 8, P = 4, Q = 3 };
  float x[N * H * W * PITCH], y[N * P * Q * C];
  uint16_t taps[N * P * Q * C];
  fill(x, N * H * W * PITCH, 1);
  poison(y, N * P * Q * C);
  rook_maxpool_forward_args args = {.geometry = {.size_h = 2, .size_w = 2, .stride_h = 2, .stride_w = 2, .padding = 1},
                                    .x = tensor(x + 2, N, H, W, C, PITCH),
                                    .y = tensor(y, N, P, Q, C, C),
                                    .taps = taps};
  TRY(rook_maxpool_forward(&args, (rook_stream){.device = device}));
  TRY(rook_synchronize((rook_stream){.device = device}));
  for (int i = 0; i < N * P * Q * C; ++i) {
    const int c = i % C, q = i / C % Q, p = i / C / Q % P, n = i / C / Q / P;
    double best = -INFINITY;
    int tap = -1;
    for (int r = 0; r < 2; ++r)
      for (int s = 0; s < 2; ++s) {
        const int h = 2 * p + r, w = 2 * q + s;
        if (h >= H || w >= W) continue;
        const double v = x[((n * H + h) * W + w) * PITCH + 2 + c];
        if (v > best) best = v, tap = 2 * r + s;
      }
    CLOSE("maxpool y", i, y[i], best, 0);
    CLOSE("maxpool taps", i, taps[i], tap, 0);
  }
  return NULL;
}

const char* c_batchnorm(rook_device device) {
  enum { N = 3, H = 5, W = 7, K = 11, PIXELS = N * H * W };
  float z[PIXELS * K], y[PIXELS * K], gamma[K], beta[K], mean[K], inv_std[K], running_mean[K], running_var[K];
  fill(z, PIXELS * K, 2);
  fill(gamma, K, 3);
  fill(beta, K, 4);
  poison(y, PIXELS * K);
  for (int k = 0; k < K; ++k) running_mean[k] = 0, running_var[k] = 1;
  rook_batchnorm_forward_args args = {.z = tensor(z, N, H, W, K, K),
                                      .y = tensor(y, N, H, W, K, K),
                                      .gamma = gamma,
                                      .beta = beta,
                                      .mean = mean,
                                      .inv_std = inv_std,
                                      .running_mean = running_mean,
                                      .running_var = running_var,
                                      .momentum = 0.25f,
                                      .eps = 1e-5f,
                                      .activation = ROOK_LEAKY};
  const rook_stream stream = {.device = device};
  size_t bytes = 0;
  TRY(rook_batchnorm_forward_workspace(&args, stream, &bytes));
  args.workspace = aligned_alloc(256, (bytes + 256) / 256 * 256);
  rook_status status = rook_batchnorm_forward(&args, stream);
  if (!status) status = rook_synchronize(stream);
  free(args.workspace);
  if (status) FAIL("batchnorm_forward: %s", rook_last_error());
  for (int k = 0; k < K; ++k) {
    double sum = 0, squares = 0;
    for (int i = 0; i < PIXELS; ++i) sum += z[i * K + k];
    const double m = sum / PIXELS;
    for (int i = 0; i < PIXELS; ++i) squares += (z[i * K + k] - m) * (z[i * K + k] - m);
    CLOSE("batchnorm mean", k, mean[k], m, 1e-6);
    CLOSE("batchnorm running_mean", k, running_mean[k], 0.25 * m, 1e-6);
    CLOSE("batchnorm running_var", k, running_var[k], 0.75 + 0.25 * squares / (PIXELS - 1), 1e-5);
    for (int i = 0; i < PIXELS; ++i) {
      const double v = gamma[k] * (z[i * K + k] - m) / sqrt(squares / PIXELS + 1e-5) + beta[k];
      CLOSE("batchnorm y", i * K + k, y[i * K + k], v > 0 ? v : 0.1 * v, 1e-5);
    }
  }
  return NULL;
}

enum { CONV_N = 2, CONV_H = 7, CONV_W = 6, CONV_C = 5, CONV_K = 9, CONV_P = 4, CONV_Q = 3 };

/* What a weight multiplies: calls for each (output pixel, tap) of a 3x3 convolution with stride 2 and padding 1. */
#define FOR_EACH_TAP                                           \
  for (int n = 0; n < CONV_N; ++n)                             \
    for (int p = 0; p < CONV_P; ++p)                           \
      for (int q = 0; q < CONV_Q; ++q)                         \
        for (int k = 0; k < CONV_K; ++k)                       \
          for (int r = 0; r < 3; ++r)                          \
            for (int s = 0; s < 3; ++s)                        \
              for (int c = 0; c < CONV_C; ++c)                 \
                if (2 * p + r >= 1 && 2 * p + r <= CONV_H && 2 * q + s >= 1 && 2 * q + s <= CONV_W)
#define X_AT (((n * CONV_H + 2 * p + r - 1) * CONV_W + 2 * q + s - 1) * CONV_C + c)
#define Y_AT (((n * CONV_P + p) * CONV_Q + q) * CONV_K + k)
#define W_AT (((k * 3 + r) * 3 + s) * CONV_C + c)

const char* c_conv(rook_device device, const char* row, rook_conv_direction direction) {
  enum { X = CONV_N * CONV_H * CONV_W * CONV_C, Y = CONV_N * CONV_P * CONV_Q * CONV_K, WEIGHTS = CONV_K * 9 * CONV_C };
  static float x[X], y[Y], w[WEIGHTS], bias[CONV_K];
  static double truth[X > Y ? X : Y];
  fill(x, X, 5);
  fill(y, Y, 6);
  fill(w, WEIGHTS, 7);
  fill(bias, CONV_K, 8);
  for (int i = 0; i < (X > Y ? X : Y); ++i) truth[i] = direction == ROOK_FPROP ? bias[i % CONV_K] : 0;
  if (direction == ROOK_WGRAD) memset(w, 0, sizeof w);
  FOR_EACH_TAP {
    if (direction == ROOK_FPROP) truth[Y_AT] += (double)x[X_AT] * w[W_AT];
    if (direction == ROOK_DGRAD) truth[X_AT] += (double)y[Y_AT] * w[W_AT];
  }
  static double dw[WEIGHTS];
  memset(dw, 0, sizeof dw);
  FOR_EACH_TAP dw[W_AT] += (double)x[X_AT] * y[Y_AT];
  if (direction == ROOK_FPROP) poison(y, Y);
  if (direction == ROOK_DGRAD) poison(x, X);

  const rook_conv_problem problem = {.direction = direction, .c = CONV_C, .k = CONV_K, .r = 3, .s = 3, .stride_h = 2,
                                     .stride_w = 2, .pad_h = 1, .pad_w = 1, .dilation = 1, .groups = 1, .n = CONV_N,
                                     .h = CONV_H, .w = CONV_W, .x = ROOK_F32, .y = ROOK_F32,
                                     .bias = direction == ROOK_FPROP};
  const rook_stream stream = {.device = device};
  rook_conv_plan plan;
  TRY(rook_conv_plan_for(&problem, row, stream, &plan));
  void* packed = aligned_alloc(256, (plan.packed_bytes + 256) / 256 * 256);
  void* workspace = aligned_alloc(256, (plan.workspace_bytes + 256) / 256 * 256);
  const rook_conv_args args = {.x = tensor(x, CONV_N, CONV_H, CONV_W, CONV_C, CONV_C),
                               .y = tensor(y, CONV_N, CONV_P, CONV_Q, CONV_K, CONV_K),
                               .weights = direction == ROOK_WGRAD ? NULL : packed,
                               .bias = bias,
                               .dweights = direction == ROOK_WGRAD ? w : NULL,
                               .workspace = workspace};
  rook_status status = direction == ROOK_WGRAD ? ROOK_OK : rook_conv_pack(&problem, &plan, w, packed, stream);
  if (!status) status = rook_conv(&problem, &plan, &args, stream);
  if (!status) status = rook_synchronize(stream);
  free(packed);
  free(workspace);
  if (status) FAIL("conv: %s", rook_last_error());
  if (direction == ROOK_FPROP)
    for (int i = 0; i < Y; ++i) CLOSE("conv y", i, y[i], truth[i], 1e-5);
  if (direction == ROOK_DGRAD)
    for (int i = 0; i < X; ++i) CLOSE("conv dx", i, x[i], truth[i], 1e-5);
  if (direction == ROOK_WGRAD)
    for (int i = 0; i < WEIGHTS; ++i) CLOSE("conv dweights", i, w[i], dw[i], 1e-5);
  return NULL;
}

const char* c_shortcut(rook_device device) {
  enum { PIXELS = 15, C = 7, LESS = 4 };
  float a[PIXELS * C], b[PIXELS * LESS], y[PIXELS * C];
  fill(a, PIXELS * C, 9);
  fill(b, PIXELS * LESS, 10);
  poison(y, PIXELS * C);
  const rook_tensor inputs[] = {tensor(a, 1, 3, 5, C, C), tensor(b, 1, 3, 5, LESS, LESS)};
  const rook_shortcut_forward_args args = {.inputs = inputs, .input_count = 2, .y = tensor(y, 1, 3, 5, C, C)};
  TRY(rook_shortcut_forward(&args, (rook_stream){.device = device}));
  TRY(rook_synchronize((rook_stream){.device = device}));
  for (int i = 0; i < PIXELS * C; ++i)
    CLOSE("shortcut y", i, y[i], a[i] + (i % C < LESS ? (double)b[i / C * LESS + i % C] : 0), 1e-6);
  return NULL;
}

/* Two segments, the second frozen. */
const char* c_sgd(rook_device device) {
  enum { COUNT = 101, FROZEN = 60 };
  float w[COUNT], before[COUNT], g[COUNT], v[COUNT];
  fill(w, COUNT, 11);
  fill(g, COUNT, 12);
  memcpy(before, w, sizeof w);
  memset(v, 0, sizeof v);
  const rook_param_segment segments[] = {{.begin = 0, .end = FROZEN, .lr_scale = 2, .decay = 0.5f},
                                         {.begin = FROZEN, .end = COUNT, .lr_scale = 0}};
  const rook_sgd_update_args args = {.weights = w,
                                     .gradient = g,
                                     .velocity = v,
                                     .segments = segments,
                                     .segment_count = 2,
                                     .lr = 0.125f,
                                     .momentum = 0.9f,
                                     .gradient_scale = 3};
  TRY(rook_sgd_update(&args, (rook_stream){.device = device}));
  TRY(rook_synchronize((rook_stream){.device = device}));
  for (int i = 0; i < COUNT; ++i) {
    const double step = i < FROZEN ? 0.25 * (3.0 * g[i] + 0.5 * before[i]) : 0;
    CLOSE("sgd weights", i, w[i], before[i] - step, 1e-6);
  }
  return NULL;
}

/* One anchor, one class: a confident cell beside a nearly equal, weaker one. */
const char* c_detect(rook_device device) {
  enum { W = 3, ENTRIES = 6, CAPACITY = 8 };
  float logits[W * ENTRIES] = {0, 0, 0, 0, 4, 4, -30, 0, 0, 0, 3, 3, 0, 0, 0, 0, -9, -9};
  logits[0] = 30; /* x of the first cell at its right edge, of the second at its left: the same place */
  rook_detection found[CAPACITY];
  int32_t count = 0;
  rook_head_decode_args decode = {.head = {.kind = ROOK_YOLO,
                                           .classes = 1,
                                           .anchors = 1,
                                           .anchor_w = {32},
                                           .anchor_h = {16},
                                           .total_anchors = 1,
                                           .mask = {0},
                                           .scale_x_y = 1},
                                  .logits = tensor(logits, 1, 1, W, ENTRIES, ENTRIES),
                                  .net_w = 96,
                                  .net_h = 32,
                                  .threshold = 0.25f,
                                  .detections = found,
                                  .counts = &count,
                                  .capacity = CAPACITY};
  const rook_stream stream = {.device = device};
  TRY(rook_head_decode(&decode, stream));
  TRY(rook_synchronize(stream));
  CLOSE("candidates", 0, count, 2, 0);
  rook_nms_args nms = {.detections = found, .counts = &count, .images = 1, .capacity = CAPACITY, .threshold = 0.45f};
  size_t bytes = 0;
  TRY(rook_nms_workspace(&nms, stream, &bytes));
  nms.workspace = aligned_alloc(256, (bytes + 256) / 256 * 256);
  rook_status status = rook_nms(&nms, stream);
  if (!status) status = rook_synchronize(stream);
  free(nms.workspace);
  if (status) FAIL("nms: %s", rook_last_error());
  CLOSE("survivors", 0, count, 1, 0);
  const double sure = 1 / (1 + exp(-4.0));
  CLOSE("score", 0, found[0].score, sure * sure, 1e-6);
  CLOSE("x", 0, found[0].x, 1.0 / 3, 1e-6);
  CLOSE("w", 0, found[0].w, 1.0 / 3, 1e-6);
  CLOSE("h", 0, found[0].h, 0.5, 1e-6);
  return NULL;
}

/* The tensor that PyTorch gives for [2, 5, 3, 4] in channels_last, a slice of 8 channels, at an offset. */
const char* c_dlpack(void) {
  float data[2 * 3 * 4 * 8];
  int64_t shape[] = {2, 5, 3, 4}, strides[] = {96, 1, 32, 8};
  struct DLManagedTensor managed = {.dl_tensor = {.data = data,
                                                  .device = {.type = ROOK_DL_CPU},
                                                  .ndim = 4,
                                                  .dtype = {.code = ROOK_DL_FLOAT, .bits = 32, .lanes = 1},
                                                  .shape = shape,
                                                  .strides = strides,
                                                  .byte_offset = 8}};
  rook_tensor t;
  rook_device device = ROOK_EMU;
  TRY(rook_tensor_from_dlpack(&managed, ROOK_NCHW, &t, &device));
  if (t.data != (char*)data + 8 || t.dtype != ROOK_F32 || t.n != 2 || t.h != 3 || t.w != 4 || t.c != 5 || t.pitch != 8 ||
      device != ROOK_CPU)
    FAIL("dlpack: another view: [%d, %d, %d, %d] pitch %d", t.n, t.h, t.w, t.c, (int)t.pitch);
  if (rook_tensor_from_dlpack(&managed, ROOK_NHWC, &t, &device) != ROOK_REFUSED) FAIL("dlpack: NCHW taken for NHWC");
  struct DLManagedTensorVersioned versioned = {.version = {.major = 1}, .dl_tensor = managed.dl_tensor};
  versioned.dl_tensor.ndim = 2; /* [2, 5], compact */
  versioned.dl_tensor.strides = NULL;
  TRY(rook_tensor_from_dlpack_versioned(&versioned, ROOK_NHWC, &t, NULL));
  if (t.n != 1 || t.h != 1 || t.w != 2 || t.c != 5 || t.pitch != 5) FAIL("dlpack: another view of a matrix");
  versioned.version.major = 2;
  if (rook_tensor_from_dlpack_versioned(&versioned, ROOK_NHWC, &t, NULL) != ROOK_REFUSED) FAIL("dlpack: version 2 taken");
  managed.dl_tensor.dtype.bits = 8;
  if (rook_tensor_from_dlpack(&managed, ROOK_NCHW, &t, &device) != ROOK_REFUSED) FAIL("dlpack: f8 taken");
  managed.dl_tensor.dtype.bits = 32;
  strides[2] = 33;
  if (rook_tensor_from_dlpack(&managed, ROOK_NCHW, &t, &device) != ROOK_REFUSED) FAIL("dlpack: a gap between rows taken");
  return NULL;
}
