// Shared memory: poison in every block, several objects, the dynamic part, limits.
#include <bit>

#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

struct Some {
  float of[64];
};
struct Other {
  unsigned char of[3];
};

__global__ void look(unsigned* found) {
  auto& some = block_shared<Some>();
  auto& other = block_shared<Other>();
  auto* dynamic = dynamic_shared<unsigned>();
  const unsigned me = threadIdx.x;
  if (__float_as_uint(some.of[me]) != 0xffffffffu) atomicAdd(found, 1u);
  if (other.of[me % 3] != 0xff) atomicAdd(found, 1u);
  if (dynamic[me] != 0xffffffffu) atomicAdd(found, 1u);
  __syncthreads();
  some.of[me] = 1;
  dynamic[me] = 2;
  if (me < 3) other.of[me] = 3;
}

TEST_CASE("shared memory is poison at the start of every block") {
  for_each_order([] {
    unsigned found = 0;
    run({50, 64, 64 * sizeof(unsigned)}, look, &found);
    CHECK(found == 0);
  });
}

__global__ void addresses(std::uintptr_t* out) {
  out[3 * threadIdx.x] = reinterpret_cast<std::uintptr_t>(&block_shared<Some>());
  out[3 * threadIdx.x + 1] = reinterpret_cast<std::uintptr_t>(&block_shared<Other>());
  out[3 * threadIdx.x + 2] = reinterpret_cast<std::uintptr_t>(dynamic_shared<char>());
}

TEST_CASE("an object per type and block, the same for all threads") {
  std::uintptr_t out[3 * 40];
  run({1, 40, 100}, addresses, out);
  for (int i = 3; i < 3 * 40; ++i) REQUIRE(out[i] == out[i % 3]);
  CHECK(out[0] != out[1]);
  CHECK(out[2] % 128 == 0);
  CHECK(out[0] % alignof(Some) == 0);
}

struct Huge {
  unsigned char of[48 * 1024];
};
struct Large {
  unsigned char of[48 * 1024 - 100];
};
struct TooHuge {
  unsigned char of[48 * 1024 + 1];
};
struct Small {
  unsigned char of[32];
};
template <class T>
__global__ void use(int* out) {
  auto& object = block_shared<T>();
  object.of[threadIdx.x] = 1;
  out[threadIdx.x] = dynamic_shared<unsigned char>()[threadIdx.x];
}
__global__ void use_both() {
  block_shared<Huge>().of[0] = 1;
  block_shared<Other>().of[0] = 1;
}

TEST_CASE("limits of shared memory") {
  int out[32];
  run({1, 32, 100}, use<Large>, out);
  CHECK(out[31] == 0xff);
  // CUDA gives 48 KiB of both together to those who do not ask, and a launch asks for the sake of dynamic memory alone.
  CHECK(contains(error_of({1, 32, 101}, use<Large>, out), "101 bytes of dynamic"));
  CHECK(contains(error_of({1, 32, 100}, use<Huge>, out), "cudaFuncAttributeMaxDynamicSharedMemorySize"));
  run({1, 32, 32 * 1024}, use<Large>, out);
  CHECK(contains(error_of({1, 32, 100}, use<TooHuge>, out), "static"));
  CHECK(contains(error_of({1, 32}, use_both), "static"));
  run({1, 32, 227 * 1024 - 64 * sizeof(float)}, use<Some>, out);
  CHECK(contains(error_of({1, 32, 227 * 1024}, use<Some>, out), "232448"));
  CHECK_THROWS_AS(run({1, 32, 227 * 1024 + 1}, use<Some>, out), Error);
}

TEST_CASE("dynamic shared memory from 32 KiB on has to be asked for") {
  int out[32];
  int* pointer = out;
  cudaLaunchConfig_t config{};
  config.blockDim = 32;
  config.dynamicSmemBytes = 32 * 1024;
  CHECK_THROWS_AS(cudaLaunchKernelEx(&config, use<Small>, pointer), Error);
  CHECK(cudaFuncSetAttribute(use<Small>, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024) == cudaSuccess);
  CHECK(cudaLaunchKernelEx(&config, use<Small>, pointer) == cudaSuccess);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  CHECK(cudaFuncSetAttribute(use<Small>, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 * 1024) ==
        cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
}

}  // namespace
}  // namespace rook::emu::test
