// What every kernel speaks of: element types, tensors (views that own nothing), and small value types of the
// operations.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rook {

enum class DType : std::uint8_t { u8, f32, f64, bf16, f16 };  // f64 exists in ref:: only, for finite differences

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::u8:
      return 1;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::f32:
      return 4;
    case DType::f64:
      return 8;
  }
  return 0;
}

const char* name_of(DType type);

enum class Device : std::uint8_t { cpu, cuda, emu };

// An order of execution on a device; empty on the CPU, where everything is done when the call returns.
struct Stream {
  void* handle = nullptr;
};

// A view of an NHWC array [n, h, w, c] with `pitch` elements from one pixel to the next (pitch >= c), so that a channel
// slice of a wider buffer is a tensor too. Pixels follow each other without gaps but the pitch.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int n = 0, h = 0, w = 0, c = 0;
  std::int64_t pitch = 0;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  std::int64_t pixels() const { return std::int64_t{n} * h * w; }
  std::int64_t elements() const { return pixels() * c; }
  bool dense() const { return pitch == c; }
  explicit operator bool() const { return data != nullptr; }

  // Channels [first, first + count) of the same pixels.
  Tensor channels(int first, int count) const {
    Tensor view = *this;
    view.data = static_cast<std::byte*>(data) + static_cast<std::size_t>(first) * size_of(dtype);
    view.c = count;
    return view;
  }
  // Images [first, first + count).
  Tensor images(int first, int count) const {
    Tensor view = *this;
    view.data =
        static_cast<std::byte*>(data) + static_cast<std::size_t>(std::int64_t{first} * h * w * pitch) * size_of(dtype);
    view.n = count;
    return view;
  }
};

inline Tensor make_tensor(void* data, DType dtype, int n, int h, int w, int c) {
  return {.data = data, .dtype = dtype, .n = n, .h = h, .w = w, .c = c, .pitch = c};
}

// What a backward function does with the gradient it computes: nothing, write it, or add it to what is there.
enum class Grad : std::uint8_t { none, overwrite, accumulate };

enum class Activation : std::uint8_t {
  linear,
  leaky,
  relu,
  relu6,
  logistic,
  loggy,
  mish,
  swish,
  hard_mish,
  tanh,
  elu,
  selu,
  gelu,
  relie,
  ramp,
  plse,
  stair,
  hardtan,
  lhtan
};
inline constexpr int kActivations = static_cast<int>(Activation::lhtan) + 1;

const char* name_of(Activation activation);

// Geometry of a convolution with filters [k, r, s, c / groups]. Output height as darknet computes it, from the
// undilated filter: (h + 2 pad_h - r) / stride_h + 1; the padding that is applied is pad * dilation.
struct ConvGeometry {
  int c = 0, k = 0, r = 1, s = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = 0, pad_w = 0;
  int dilation = 1;
  int groups = 1;

  int out_h(int h) const { return (h + 2 * pad_h - r) / stride_h + 1; }
  int out_w(int w) const { return (w + 2 * pad_w - s) / stride_w + 1; }
  std::int64_t weights() const { return std::int64_t{k} * r * s * (c / groups); }
  bool operator==(const ConvGeometry&) const = default;
};

// Pooling window. `padding` is darknet's: the total of both sides per axis; the first window starts at -(padding / 2).
struct PoolGeometry {
  int size_h = 2, size_w = 2;
  int stride_h = 2, stride_w = 2;
  int padding = 1;

  int out_h(int h) const { return (h + padding - size_h) / stride_h + 1; }
  int out_w(int w) const { return (w + padding - size_w) / stride_w + 1; }
};

// A truth box: centre and size relative to the image (0..1), and its class.
struct Truth {
  float x, y, w, h;
  std::int32_t cls;
};

// A detection: centre and size relative to the image; its score, which is objectness times probability of the class;
// and the index of its anchor cell over all heads, which breaks ties between equal scores.
struct Detection {
  float x, y, w, h;
  float score;
  float objectness;
  std::int32_t cls;
  std::int32_t index;
};

// What changes from step to step, in the device's memory, so that a captured graph of a whole step can be replayed.
// Where an args struct has `step` and it is not null, its values are taken instead of the fields they are named after.
struct StepState {
  std::int64_t seen = 0;            // images before this step
  std::int64_t optimizer_step = 1;  // from 1
  std::uint32_t iteration = 0;
  std::int32_t bad_segment = -1;  // a segment with a non-finite gradient: updates then change nothing
  float lr = 0;
  float gradient_scale = 1;
  float ema_decay = 0;
};

}  // namespace rook
