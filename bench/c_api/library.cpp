// The library itself: version, errors, devices, memory.
#include <algorithm>
#include <cstring>

#include "bench/c_api/call.h"

namespace rook::c_api {
namespace {

constexpr std::size_t kLongest = 1024;
thread_local char last_error[kLongest] = "";

void copy_text(const char* text, char* to, std::size_t capacity) noexcept {
  if (capacity == 0) return;
  const std::size_t length = std::min(std::strlen(text), capacity - 1);
  std::memcpy(to, text, length);
  to[length] = '\0';
}

const char* name_of_device(rook_device device) {
  switch (device) {
    case ROOK_CPU:
      return "cpu";
    case ROOK_CUDA:
      return "cuda";
    case ROOK_EMU:
      return "emu";
    case ROOK_REF:
      return "ref";
    default:
      throw Error(fmt::format("device: {} is not one of ROOK_CPU, ROOK_CUDA, ROOK_EMU, ROOK_REF", device));
  }
}

}  // namespace

rook_status fail(rook_status status, const char* message) noexcept {
  copy_text(message, last_error, kLongest);
  return status;
}

DType dtype(rook_dtype value) {
  return enumerator(value, DType::f16, "dtype");
}

Activation activation(rook_activation value) {
  return enumerator(value, Activation::lhtan, "activation");
}

ChannelNorm channel_norm(rook_channel_norm value) {
  return enumerator(value, ChannelNorm::softmax_maxval, "kind");
}

Grad grad(rook_grad value) {
  switch (value) {
    case ROOK_OVERWRITE:
      return Grad::overwrite;
    case ROOK_ACCUMULATE:
      return Grad::accumulate;
    case ROOK_NONE:
      return Grad::none;
    default:
      throw Error(fmt::format("mode: {} is not one of ROOK_OVERWRITE, ROOK_ACCUMULATE, ROOK_NONE", value));
  }
}

const Backend& backend_of(rook_device device) {
  return find_backend(name_of_device(device));
}

Tensor Call::tensor(const rook_tensor& t) const {
  return {.data = t.data,
          .dtype = dtype(t.dtype),
          .device = backend_.device,
          .n = t.n,
          .h = t.h,
          .w = t.w,
          .c = t.c,
          .pitch = t.pitch};
}

std::span<const Tensor> Call::tensors(const rook_tensor* list, std::int32_t count) {
  if (count < 0 || (count > 0 && !list)) throw Error(fmt::format("a list of {} tensors is null or impossible", count));
  tensors_.clear();
  for (std::int32_t i = 0; i < count; ++i) tensors_.push_back(tensor(list[i]));
  return tensors_;
}

}  // namespace rook::c_api

using rook::c_api::backend_of;
using rook::c_api::guarded;
using rook::c_api::required;

const char* rook_version() {
  return ROOK_VERSION;
}

int32_t rook_abi_version() {
  return ROOK_ABI;
}

const char* rook_last_error() {
  return rook::c_api::last_error;
}

rook_status rook_describe_device(rook_device device, char* text, size_t capacity) {
  return guarded([&] {
    if (capacity > 0) required(text, "text");
    rook::c_api::copy_text(backend_of(device).runtime->describe().c_str(), text, capacity);
  });
}

rook_status rook_synchronize(rook_stream stream) {
  return guarded([&] { backend_of(stream.device).runtime->synchronize({stream.handle}); });
}

rook_status rook_allocate(rook_device device, size_t bytes, void** memory) {
  return guarded([&] {
    required(memory, "memory");
    *memory = backend_of(device).runtime->allocate(bytes);
  });
}

rook_status rook_release(rook_device device, void* memory) {
  return guarded([&] {
    if (memory) backend_of(device).runtime->release(memory);
  });
}

rook_status rook_copy(void* to, const void* from, size_t bytes, rook_stream stream) {
  return guarded([&] {
    if (bytes == 0) return;
    required(static_cast<const char*>(to), "to");
    required(static_cast<const char*>(from), "from");
    backend_of(stream.device).runtime->copy(to, from, bytes, {stream.handle});
  });
}
