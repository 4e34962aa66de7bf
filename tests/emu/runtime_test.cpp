// Atomics, and the runtime's calls: memory, streams, events, graphs.
#include <cmath>
#include <functional>
#include <thread>

#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

struct Cells {
  int sum, least, greatest, either, swapped, differences;
  unsigned wrapped, claimed;
  unsigned long long wide;
  float real;
};

__global__ void atomics(Cells* cells, unsigned* old) {
  const int me = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  old[me] = static_cast<unsigned>(atomicAdd(&cells->sum, 1));
  atomicMin(&cells->least, 500 - me);
  atomicMax(&cells->greatest, me);
  atomicOr(&cells->either, 1 << me % 31);
  atomicSub(&cells->differences, 2);
  atomicInc(&cells->wrapped, 9);
  atomicAdd(&cells->wide, 1ull << 33);
  atomicAdd(&cells->real, 0.5f);
  atomicExch(&cells->swapped, 7);
  if (atomicCAS(&cells->claimed, 0u, static_cast<unsigned>(me) + 1) == 0) __threadfence();
}

TEST_CASE("atomics, on several OS threads") {
  static constexpr int kThreads = 40 * 128;
  for_each_order([] {
    Cells cells{};
    cells.least = 1000;
    cells.greatest = -1;
    std::vector<unsigned> old(kThreads);
    run({40, 128}, atomics, &cells, old.data());
    CHECK(cells.sum == kThreads);
    CHECK(cells.least == 500 - (kThreads - 1));
    CHECK(cells.greatest == kThreads - 1);
    CHECK(cells.either == 0x7fffffff);
    CHECK(cells.differences == -2 * kThreads);
    CHECK(cells.wrapped == kThreads % 10);
    CHECK(cells.wide == static_cast<unsigned long long>(kThreads) << 33);
    CHECK(cells.real == kThreads / 2.0f);
    CHECK(cells.swapped == 7);
    CHECK(cells.claimed > 0);
    std::vector<bool> seen(kThreads);
    for (const unsigned o : old) seen[o] = true;
    for (const bool s : seen) REQUIRE(s);
  });
}

// The last block to finish adds up what all blocks left.
__global__ void last_block(unsigned* done, int* partials, int* total) {
  auto& is_last = block_shared<bool>();
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = static_cast<int>(blockIdx.x);
    __threadfence();
    is_last = atomicAdd(done, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!is_last || threadIdx.x != 0) return;
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += partials[i];
  *total = sum;
}

TEST_CASE("the last block sees what the others wrote") {
  for_each_order([] {
    unsigned done = 0;
    int total = -1;
    std::vector<int> partials(200);
    run({200, 32}, last_block, &done, partials.data(), &total);
    CHECK(total == 199 * 200 / 2);
  });
}

TEST_CASE("device memory is aligned, poisoned, limited and counted") {
  const std::int64_t before = allocations();
  float* memory = nullptr;
  REQUIRE(cudaMalloc(&memory, 100 * sizeof(float)) == cudaSuccess);
  CHECK(allocations() == before + 1);
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % 256 == 0);
  for (int i = 0; i < 100; ++i) REQUIRE(std::isnan(memory[i]));
  CHECK(cudaMemset(memory, 0, 400) == cudaSuccess);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  CHECK(memory[99] == 0);
  set_memory_limit(1000);
  std::size_t free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(total == 1000);
  CHECK(free == 600);
  void* more = &free;
  CHECK(cudaMalloc(&more, 601) == cudaErrorMemoryAllocation);
  CHECK(more == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&more, 600) == cudaSuccess);
  CHECK(cudaFree(more) == cudaSuccess);
  CHECK(cudaFree(more) == cudaErrorInvalidValue);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidValue);
  CHECK(std::string(cudaGetErrorString(cudaGetLastError())) == "invalid argument");
  set_memory_limit(0);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  void* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 64) == cudaSuccess);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

__global__ void increment(int* data, int count, int by) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) data[i] += by;
}

TEST_CASE("streams do at once what is put on them; events tell the time") {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  cudaEvent_t begin = nullptr, end = nullptr;
  REQUIRE(cudaEventCreate(&begin) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  float time = -1;
  CHECK(cudaEventElapsedTime(&time, begin, end) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  int a[4] = {1, 2, 3, 4}, b[4] = {};
  CHECK(cudaEventRecord(begin, stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(b, a, sizeof(a), cudaMemcpyDefault, stream) == cudaSuccess);
  launch(Stream{stream}, {1, 32}, increment, b, 4, 10);
  CHECK(b[3] == 14);
  CHECK(cudaMemsetAsync(a, 0, sizeof(a), stream) == cudaSuccess);
  CHECK(a[0] == 0);
  CHECK(cudaEventRecord(end, stream) == cudaSuccess);
  CHECK(cudaEventQuery(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&time, begin, end) == cudaSuccess);
  CHECK((time > 0 && time < 60e3f));
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

// What the NULL stream does to `cell`, and what is there at once and after each of the calls that wait for it.
TEST_CASE("the NULL stream comes late to its work, in order, wherever something waits") {
  cudaStream_t stream = nullptr, blocking = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamCreate(&blocking) == cudaSuccess);
  cudaEvent_t event = nullptr;
  REQUIRE(cudaEventCreate(&event) == cudaSuccess);
  void* block = nullptr;
  int other = 0;
  const std::vector<std::function<void()>> waits{
      [] { CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess); },
      [] { CHECK(cudaDeviceSynchronize() == cudaSuccess); },
      [&] { CHECK(cudaStreamSynchronize(stream) == cudaSuccess); },  // which does not wait, but is late enough
      [&] { CHECK(cudaEventSynchronize(event) == cudaSuccess); },
      [&] { CHECK(cudaStreamWaitEvent(stream, event) == cudaSuccess); },
      [&] { CHECK(cudaMemsetAsync(&other, 0, sizeof other, blocking) == cudaSuccess); },
      [&] { CHECK(cudaMemcpy(&other, &other, sizeof other, cudaMemcpyDefault) == cudaSuccess); },
      [&] { CHECK(cudaFree(block) == cudaSuccess); },
  };
  for (const auto& wait : waits) {
    CHECK(cudaMalloc(&block, 4) == cudaSuccess);
    int cell = 7;
    CHECK(cudaMemset(&cell, 0, sizeof cell) == cudaSuccess);
    launch(Stream{}, {1, 32}, increment, &cell, 1, 5);
    CHECK(cudaEventRecord(event, nullptr) == cudaSuccess);
    CHECK(cell == 7);
    CHECK(cudaMemsetAsync(&other, 0, sizeof other, stream) == cudaSuccess);  // is not ordered with it
    CHECK(cell == 7);
    wait();
    CHECK(cell == 5);
    CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  }
  cudaEventDestroy(event);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(blocking);
}

TEST_CASE("what a kernel on the NULL stream threw is thrown where it is waited for") {
  int cell = 0;
  CHECK(cudaMemset(&cell, 0, sizeof cell) == cudaSuccess);
  launch(Stream{}, {1, 1025}, increment, &cell, 1, 5);
  launch(Stream{}, {1, 32}, increment, &cell, 1, 5);
  CHECK_THROWS_AS(cudaStreamSynchronize(nullptr), Error);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  CHECK(cell == 0);  // what was to come after it is forgotten
}

TEST_CASE("a captured stream does nothing until its graph is launched, and again at every launch") {
  cudaStream_t stream = nullptr, side = nullptr;
  cudaStreamCreate(&stream);
  cudaStreamCreate(&side);
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaEventCreate(&fork);
  cudaEventCreate(&join);
  int source[3] = {1, 2, 3}, data[3] = {}, copy[3] = {};
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorIllegalState);
  cudaMemcpyAsync(data, source, sizeof(data), cudaMemcpyDefault, stream);
  launch(Stream{stream}, {1, 32}, increment, data, 3, 100);
  cudaEventRecord(fork, stream);
  CHECK(cudaStreamWaitEvent(side, fork) == cudaSuccess);
  cudaMemcpyAsync(copy, data, sizeof(data), cudaMemcpyDefault, side);
  cudaEventRecord(join, side);
  cudaStreamWaitEvent(stream, join);
  cudaMemsetAsync(data, 0, sizeof(int), stream);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CHECK(cudaStreamIsCapturing(side, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  std::thread([&] { CHECK(cudaMalloc(&memory, 16) == cudaSuccess); }).join();  // other threads may
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(side, &graph) == cudaErrorIllegalState);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  cudaGetLastError();
  CHECK(data[2] == 0);
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
  CHECK(nodes == 4);
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  for (int i = 0; i < 3; ++i) {
    source[2] = i;
    CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
    CHECK(data[0] == 0);
    CHECK(data[1] == 102);
    CHECK(copy[2] == 100 + i);
    CHECK(copy[0] == 101);
  }
  cudaMemcpyAsync(data, source, sizeof(int), cudaMemcpyDefault, side);  // no longer part of it
  CHECK(data[0] == 1);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(side);
}

TEST_CASE("the device says what it is") {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  cudaGetLastError();
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "emulator");
  CHECK(properties.major == 9);
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) == cudaSuccess);
  CHECK(value == 227 * 1024);
}

TEST_CASE("several OS threads may launch at once") {
  std::vector<int> data(4 * 10000, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&data, t] {
      cudaStream_t stream = nullptr;
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
      for (int i = 0; i < 5; ++i) launch(Stream{stream}, {40, 256}, increment, data.data() + t * 10000, 10000, 1);
      cudaStreamDestroy(stream);
    });
  for (std::thread& thread : threads) thread.join();
  for (const int v : data) REQUIRE(v == 5);
}

}  // namespace
}  // namespace rook::emu::test
