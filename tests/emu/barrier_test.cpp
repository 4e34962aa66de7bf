// Barriers of a block: what they order, whom they wait for, what they count, and that divergence is an Error.
#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

struct Numbers {
  int of[1024];
};

// Each thread hands a number around the ring of the block, `rounds` times.
__global__ void ring(int rounds, int* out) {
  auto& shared = block_shared<Numbers>();
  const unsigned n = blockDim.x * blockDim.y * blockDim.z;
  const unsigned me = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  int value = static_cast<int>(me);
  for (int i = 0; i < rounds; ++i) {
    shared.of[me] = value;
    __syncthreads();
    value = shared.of[(me + 1) % n];
    __syncthreads();
  }
  out[blockIdx.x * n + me] = value;
}

TEST_CASE("a barrier orders all threads of the block, in one, two and three dimensions") {
  for_each_order([] {
    for (const dim3 shape : {dim3(1), dim3(31), dim3(32), dim3(33), dim3(1024), dim3(7, 5), dim3(4, 8, 9)}) {
      const unsigned n = shape.x * shape.y * shape.z;
      std::vector<int> out(3 * n, -1);
      run({3, shape}, ring, 5, out.data());
      for (unsigned i = 0; i < 3 * n; ++i) REQUIRE(out[i] == static_cast<int>((i % n + 5) % n));
    }
  });
}

__global__ void places(unsigned* out) {
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  atomicAdd(out + block * threads + thread, 1u);
}

TEST_CASE("every thread of every block runs once, on one OS thread and on several") {
  for (const int threads : {1, 2, 5}) {
    set_threads(threads);
    for_each_order([] {
      std::vector<unsigned> out(5 * 3 * 2 * 4 * 3 * 17, 0);
      run({dim3(5, 3, 2), dim3(17, 4, 3)}, places, out.data());
      for (const unsigned count : out) REQUIRE(count == 1);
    });
  }
  set_threads(0);
}

__global__ void counts(int limit, int* out) {
  const int me = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(me < limit);
  const int all = __syncthreads_and(me < limit);
  const int any = __syncthreads_or(me < limit);
  if (me == 0) out[0] = count;
  if (me == 0) out[1] = all;
  if (me == 0) out[2] = any;
}

TEST_CASE("__syncthreads_count, _and and _or") {
  for_each_order([] {
    for (const int limit : {0, 1, 63, 100}) {
      int out[3] = {-1, -1, -1};
      run({1, 100}, counts, limit, out);
      CHECK(out[0] == limit);
      CHECK(out[1] == (limit == 100 ? 1 : 0));
      CHECK(out[2] == (limit > 0 ? 1 : 0));
    }
  });
}

// Threads from `stay` on leave before the barriers.
__global__ void some_exit(int stay, int* out) {
  auto& shared = block_shared<Numbers>();
  const int me = static_cast<int>(threadIdx.x);
  if (me >= stay) return;
  shared.of[me] = me;
  const int count = __syncthreads_count(1);
  out[me] = shared.of[stay - 1 - me] * 1000 + count;
}

TEST_CASE("exited threads are not waited for and not counted") {
  for_each_order([] {
    for (const int stay : {1, 31, 32, 50}) {
      std::vector<int> out(64, -1);
      run({1, 64}, some_exit, stay, out.data());
      for (int i = 0; i < 64; ++i)
        REQUIRE(out[static_cast<std::size_t>(i)] == (i < stay ? (stay - 1 - i) * 1000 + stay : -1));
    }
  });
}

__global__ void two_places() {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void two_kinds() {
  if (threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncthreads_or(1);
}
__global__ void barrier_against_warp() {
  if (threadIdx.x == 3)
    __syncthreads();
  else
    __syncwarp();
}
__global__ void one_exits_from_warp_wait() {
  if (threadIdx.x >= 60) return;
  if (threadIdx.x == 5) __syncthreads();
  if (threadIdx.x < 32) __syncwarp();
  __syncthreads();
}

TEST_CASE("threads that wait at different barriers are an Error that says how many wait where") {
  for_each_order([] {
    const std::string places = error_of({1, 64}, two_places);
    CHECK(contains(places, "two_places"));
    CHECK(contains(places, "block (0,0,0)"));
    CHECK(contains(places, "__syncthreads"));
    CHECK(contains(places, "barrier_test.cpp:"));
    CHECK(contains(places, " of 64 threads"));
    CHECK(contains(error_of({2, 64}, two_kinds), "__syncthreads_or"));
  });
  const std::string places = error_of({1, 64}, two_places);
  CHECK(contains(places, "thread (40,0,0): arrived at __syncthreads"));
  CHECK(contains(places, "40 wait at __syncthreads"));
  CHECK(contains(places, "0 exited"));
}

TEST_CASE("a block in which nobody can go on is an Error that says how many wait where") {
  for_each_order([] {
    const std::string warp = error_of({1, 32}, barrier_against_warp);
    CHECK(contains(warp, "no thread can go on"));
    CHECK(contains(warp, "31 wait at __syncwarp"));
    CHECK(contains(warp, "1 waits at __syncthreads"));
  });
  const std::string mixed = error_of({1, 64}, one_exits_from_warp_wait);
  CHECK(contains(mixed, "barrier_test.cpp:"));
  CHECK(contains(mixed, "31 wait at __syncwarp"));
}

__global__ void throws(int block, int thread) {
  auto& shared = block_shared<Numbers>();
  shared.of[threadIdx.x] = 1;
  __syncthreads();
  if (static_cast<int>(blockIdx.x) == block && static_cast<int>(threadIdx.x) == thread)
    throw Error("row 7 is too long");
  __syncthreads();
  __syncwarp();
}

TEST_CASE("what a thread throws leaves the launch, and the machine goes on as new") {
  for (const int os_threads : {1, 2}) {
    set_threads(os_threads);
    for_each_order([] {
      const std::string text = error_of({64, 96}, throws, 13, 37);
      CHECK(contains(text, "block (13,0,0), thread (37,0,0): row 7 is too long"));
      std::vector<int> out(2 * 96, -1);
      run({2, 96}, ring, 1, out.data());
      for (unsigned i = 0; i < out.size(); ++i) REQUIRE(out[i] == static_cast<int>((i % 96 + 1) % 96));
    });
  }
  set_threads(0);
}

struct Guard {
  int* count;
  ~Guard() { atomicAdd(count, 1); }
};
__global__ void unwinds(int* count) {
  const Guard guard{count};
  __syncthreads();
  if (threadIdx.x == 0) throw Error("stop");
  __syncthreads();
}

TEST_CASE("the other threads of a failed block are unwound") {
  int count = 0;
  error_of({1, 50}, unwinds, &count);
  CHECK(count == 50);
}

TEST_CASE("limits of a launch") {
  int out[3];
  CHECK(contains(error_of({1, 1025}, counts, 0, out), "1024"));
  CHECK(contains(error_of({1, dim3(32, 33)}, counts, 0, out), "1024"));
  CHECK(contains(error_of({1, dim3(1, 1, 65)}, counts, 0, out), "64"));
  CHECK(contains(error_of({0, 32}, counts, 0, out), "zero"));
  CHECK(contains(error_of({1, 0}, counts, 0, out), "zero"));
  CHECK(contains(error_of({dim3(1, 65536), 1}, counts, 0, out), "65535"));
}

TEST_CASE("operations of a block are Errors outside of kernels") {
  CHECK_THROWS_WITH_AS(__syncthreads(), "emulator: __syncthreads outside of a kernel", Error);
  CHECK_THROWS_AS(block_shared<Numbers>(), Error);
  CHECK_THROWS_AS(__ballot_sync(kAll, 1), Error);
}

TEST_CASE("kernels that ran are known by name") {
  int out[3];
  run({1, 32}, counts, 1, out);
  bool found = false;
  for (const std::string& name : executed_kernels())
    found = found || name.find("counts(int, int*)") != std::string::npos;
  CHECK(found);
}

}  // namespace
}  // namespace rook::emu::test
