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
  using emu::ThreadOrder;
  const auto run = [&](ThreadOrder order, const char* order_name, std::uint64_t seed = 0) {
    emu::set_thread_order(order, seed);
    body(order_name);
    emu::set_thread_order(ThreadOrder::forward);
  };
  if (watched) return run(ThreadOrder::forward, "forward");
  if (!kSanitized) {
    run(ThreadOrder::forward, "forward");
    run(ThreadOrder::reverse, "reverse");
    run(ThreadOrder::shuffled, "shuffled", 2);
  }
  run(ThreadOrder::shuffled, "shuffled", 1);
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
