#include "tests/gpu.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

#include "tests/sanitized.h"

namespace rook::test {
namespace {

void run_on(const Backend& backend, const std::function<void(const Gpu&)>& body) {
  Gpu gpu{.name = std::string(backend.name),
          .ops = &backend,
          .stream = backend.runtime->create_stream(),
          .watched = backend.device == Device::emu && emu::watched()};
  INFO("on ", gpu.name);
  body(gpu);
  backend.runtime->destroy_stream(gpu.stream);
}

// Memory of tests is pinned while a GPU's operations are tested.
void run_on_gpu(const Backend& backend, const std::function<void(const Gpu&)>& body) {
  mapped_memory() = {backend.runtime->allocate_pinned, backend.runtime->release_pinned};
  run_on(backend, body);
  mapped_memory() = {};
}

}  // namespace

void Gpu::for_each_order(const std::function<void(const std::string& order)>& body) const {
  if (ops->device != Device::emu) return body("the GPU's own");
  emu::set_thread_order(emu::ThreadOrder::forward);
  body("forward");
  if (watched) return;
  if (!kSanitized) {
    emu::set_thread_order(emu::ThreadOrder::reverse);
    body("reverse");
  }
  for (int seed = 1; seed <= (kSanitized ? 1 : 2); ++seed) {
    emu::set_thread_order(emu::ThreadOrder::shuffled, static_cast<std::uint64_t>(seed));
    body("shuffled");
  }
  emu::set_thread_order(emu::ThreadOrder::forward);
}

void for_each_gpu(const std::function<void(const Gpu&)>& body) {
  const char* const wanted = std::getenv("ROOK_TEST_DEVICE");
  const bool gpu_only = wanted && std::string_view(wanted) == "cuda";
  const Backend* const cuda = cuda_backend();
  if (cuda && cuda->runtime->unusable().empty()) {
    run_on_gpu(*cuda, body);
  } else if (gpu_only) {
    FAIL("ROOK_TEST_DEVICE=cuda, but ", cuda ? cuda->runtime->unusable() : "rook was built without CUDA");
  }
  if (!gpu_only && emu_backend()) run_on(*emu_backend(), body);
}

}  // namespace rook::test
