// What the C functions share: the border that no exception crosses, and a call's device and values.
#pragma once

#include <fmt/format.h>

#include <new>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bench/c_api/rook.h"
#include "engine/backend.h"

namespace rook::c_api {

// Keeps `message` for rook_last_error() of this thread; long ones are cut. Never throws.
rook_status fail(rook_status status, const char* message) noexcept;

// Runs `body`; what it throws becomes a status and a message.
template <class Body>
rook_status guarded(const Body& body) noexcept {
  try {
    body();
    return ROOK_OK;
  } catch (const Error& error) {
    return fail(ROOK_REFUSED, error.what());
  } catch (const std::bad_alloc&) {
    return fail(ROOK_OUT_OF_MEMORY, "out of host memory");
  } catch (const std::exception& error) {
    return fail(ROOK_FAILED, error.what());
  } catch (...) {
    return fail(ROOK_FAILED, "an unknown exception");
  }
}

template <class T>
const T& required(const T* pointer, const char* name) {
  if (!pointer) throw Error(fmt::format("{}: is a null pointer", name));
  return *pointer;
}

// The value of an enumeration whose numbers in rook.h are those of kernels/.
template <class Enum>
Enum enumerator(std::int32_t value, Enum last, const char* name) {
  if (value < 0 || value > static_cast<std::int32_t>(last))
    throw Error(fmt::format("{}: {} is not one of 0..{}", name, value, static_cast<int>(last)));
  return static_cast<Enum>(value);
}

DType dtype(rook_dtype value);
Activation activation(rook_activation value);
ChannelNorm channel_norm(rook_channel_norm value);
Grad grad(rook_grad value);
// Structs that lie in device memory are passed on as they are; convert_training.cpp holds them to one layout.
inline const StepState* step_of(const rook_step_state* step) {
  return reinterpret_cast<const StepState*>(step);
}
// The table of a device; throws Error where it cannot be used.
const Backend& backend_of(rook_device device);

// Device and stream of a call, and what its arguments point to meanwhile.
class Call {
 public:
  explicit Call(rook_stream stream) : backend_(backend_of(stream.device)), stream_{stream.handle} {}
  const Backend& backend() const { return backend_; }
  Stream stream() const { return stream_; }

  Tensor tensor(const rook_tensor& t) const;
  std::span<const Tensor> tensors(const rook_tensor* list, std::int32_t count);
  std::span<const LossHead> keep(std::vector<LossHead> heads) {
    heads_ = std::move(heads);
    return heads_;
  }

 private:
  const Backend& backend_;
  Stream stream_;
  std::vector<Tensor> tensors_;
  std::vector<LossHead> heads_;
};

// Of the operations' arguments, one overload each (convert_*.cpp).
#define ROOK_DECLARE_CONVERT(op, Args) Args convert(Call& call, const rook_##op##_args& a);
ROOK_OP_LIST(ROOK_DECLARE_CONVERT)
#undef ROOK_DECLARE_CONVERT

}  // namespace rook::c_api
