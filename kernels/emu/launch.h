// Kernel launches as CUDA's runtime has them.
#pragma once

#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/emu/machine.h"
#include "kernels/emu/runtime.h"

namespace rook::emu {

struct cudaLaunchAttribute {};  // none is supported

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace machine {

// Runs `work` now, or remembers it when the stream is being captured.
bool is_capturing(cudaStream_t stream);
void capture(cudaStream_t stream, std::function<void()> work);

// Throws Error when a launch wants more dynamic shared memory than the default and was not given it.
void check_dynamic_shared(const void* kernel, std::size_t bytes);

template <class... Parameters>
struct Call {
  void (*kernel)(Parameters...);
  std::tuple<std::decay_t<Parameters>...> arguments;
};

template <class... Parameters>
void call(const void* packed) {
  const auto& c = *static_cast<const Call<Parameters...>*>(packed);
  std::apply(c.kernel, c.arguments);
}

}  // namespace machine

// Runs the grid to its end, unless the stream is being captured. Errors are thrown as rook::Error.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const machine::Call<Parameters...> packed{kernel, {static_cast<Parameters>(arguments)...}};
  machine::Launch launch{.kernel = reinterpret_cast<const void*>(kernel),
                         .grid = config->gridDim,
                         .block = config->blockDim,
                         .dynamic_shared = config->dynamicSmemBytes,
                         .call = machine::call<Parameters...>,
                         .arguments = &packed};
  machine::check_dynamic_shared(launch.kernel, launch.dynamic_shared);
  if (machine::is_capturing(config->stream)) {
    machine::capture(config->stream, [packed, launch]() mutable {
      launch.arguments = &packed;
      machine::run(launch);
    });
  } else {
    machine::run(launch);
  }
  return cudaSuccess;
}

}  // namespace rook::emu
