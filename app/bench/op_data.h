// The data of one instance of a timed case: memory of a device, filled with the same random numbers on every device,
// and how much of it an operation reads and writes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "tests/cases.h"

namespace rook::app {

class OpData {
 public:
  OpData(const Backend& backend, Stream stream, int batch, DType type)
      : backend_(&backend), stream_(stream), batch_(batch), type_(type) {}

  const Backend& backend() const { return *backend_; }
  Stream stream() const { return stream_; }
  int batch() const { return batch_; }
  DType type() const { return type_; }

  // Activations [batch, h, w, c] of the case's type, perhaps as a slice of a wider buffer: read; written; both.
  Tensor in(int h, int w, int c, test::Slice slice = {}) { return tensor({h, w, c, type_, slice}, true, false); }
  Tensor out(int h, int w, int c, test::Slice slice = {}) { return tensor({h, w, c, type_, slice}, false, true); }
  Tensor in_of(DType type, int h, int w, int c) { return tensor({h, w, c, type, {}}, true, false); }
  Tensor out_of(DType type, int h, int w, int c) { return tensor({h, w, c, type, {}}, false, true); }

  // f32 arrays; uniform in [low, high).
  float* in_floats(std::int64_t count, float low = -1, float high = 1) { return floats(count, low, high, true, false); }
  float* out_floats(std::int64_t count) { return floats(count, 0, 0, false, true); }
  float* inout_floats(std::int64_t count, float low = -1, float high = 1) {
    return floats(count, low, high, true, true);
  }
  // Outputs that must be equal; counted as written.
  std::int32_t* out_ints(std::int64_t count);
  std::uint16_t* out_taps(std::int64_t count);
  double* out_doubles(std::int64_t count);

  // What the host has, on the device: read.
  template <class T>
  T* upload(std::span<const T> values) {
    bytes_ += static_cast<double>(values.size_bytes());
    return static_cast<T*>(copied(values.data(), values.size_bytes()));
  }
  // Zeroed memory that is neither counted nor compared: scratch, and what a later operation of the same run reads.
  void* scratch(std::size_t bytes);

  // Traffic of one run in bytes: what is read once and written once.
  double bytes() const { return bytes_; }
  void add_bytes(double bytes) { bytes_ += bytes; }

  // The outputs as doubles, copied from the device.
  struct Output {
    std::string what;
    std::vector<double> values;
    bool exact = false;
  };
  std::vector<Output> outputs() const;

 private:
  enum class Element : std::uint8_t { u16, i32, f64, tensor };
  struct Shape {
    int h, w, c;
    DType type;
    test::Slice slice;
  };
  struct Kept {
    void* data;
    Element element;
    DType type;
    std::int64_t rows, columns, pitch;
  };
  struct Release {
    void (*release)(void*);
    void operator()(void* memory) const { release(memory); }
  };

  Tensor tensor(const Shape& shape, bool read, bool written);
  float* floats(std::int64_t count, float low, float high, bool read, bool written);
  void* copied(const void* values, std::size_t bytes);

  const Backend* backend_;
  Stream stream_;
  int batch_;
  DType type_;
  double bytes_ = 0;
  std::uint32_t arrays_ = 0;  // that have been filled: each has numbers of its own
  std::vector<std::unique_ptr<void, Release>> memory_;
  std::vector<Kept> kept_;
};

}  // namespace rook::app
