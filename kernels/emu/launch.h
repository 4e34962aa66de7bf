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

// Runs `work` now, or when the captured graph runs, or when the NULL stream comes to it.
void enqueue(cudaStream_t stream, std::function<void()> work);

// Throws Error when a launch wants so much dynamic shared memory that it has to ask (kAskedShared) and has not.
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

// Runs the grid to its end, when its stream comes to it. Errors are thrown as rook::Error.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const machine::Call<Parameters...> packed{kernel, {static_cast<Parameters>(arguments)...}};
  const machine::Launch launch{.kernel = reinterpret_cast<const void*>(kernel),
                               .grid = config->gridDim,
                               .block = config->blockDim,
                               .dynamic_shared = config->dynamicSmemBytes,
                               .call = machine::call<Parameters...>};
  machine::check_dynamic_shared(launch.kernel, launch.dynamic_shared);
  machine::enqueue(config->stream, [packed, launch] {
    machine::Launch now = launch;
    now.arguments = &packed;
    machine::run(now);
  });
  return cudaSuccess;
}

}  // namespace rook::emu
