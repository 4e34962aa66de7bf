// Operations of a warp: shuffles of every kind, width and mask against CUDA's description; votes; reductions; errors.
#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <optional>

#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

enum class Kind { index, up, down, exclusive_or };

// "CUDA C++ Programming Guide", warp shuffle functions: segments of `width` lanes that each work like a warp.
int expected_source(Kind kind, int lane, int operand, int width) {
  const int first = lane / width * width;
  const int position = lane - first;
  switch (kind) {
    case Kind::index:
      return first + ((operand % width) + width) % width;
    case Kind::up:
      return position - operand >= 0 ? lane - operand : lane;
    case Kind::down:
      return position + operand < width ? lane + operand : lane;
    case Kind::exclusive_or: {  // later segments cannot be reached, earlier ones can
      const int source = lane ^ operand;
      return source < first + width ? source : lane;
    }
  }
  return lane;
}

template <class T>
__global__ void shuffle(Kind kind, unsigned mask, int operand, int width, const T* in, T* out) {
  const unsigned lane = threadIdx.x % 32;
  if ((mask >> lane & 1u) == 0) return;
  T value = in[threadIdx.x];
  if (kind == Kind::index) value = __shfl_sync(mask, value, operand, width);
  if (kind == Kind::up) value = __shfl_up_sync(mask, value, static_cast<unsigned>(operand), width);
  if (kind == Kind::down) value = __shfl_down_sync(mask, value, static_cast<unsigned>(operand), width);
  if (kind == Kind::exclusive_or) value = __shfl_xor_sync(mask, value, operand, width);
  out[threadIdx.x] = value;
}

template <class T>
T number(int i) {
  return static_cast<T>(static_cast<float>(i + 1));
}

template <class T>
void check_shuffle(Kind kind, unsigned mask, int operand, int width) {
  std::vector<T> in(64), out(64, number<T>(98));
  for (int i = 0; i < 64; ++i) in[static_cast<std::size_t>(i)] = number<T>(i);
  run({1, 64}, shuffle<T>, kind, mask, operand, width, in.data(), out.data());
  for (int i = 0; i < 64; ++i) {
    const int lane = i % 32;
    const int source = expected_source(kind, lane, operand, width);
    const T got = out[static_cast<std::size_t>(i)];
    CAPTURE(static_cast<int>(kind));
    CAPTURE(mask);
    CAPTURE(operand);
    CAPTURE(width);
    CAPTURE(i);
    if ((mask >> lane & 1u) == 0) {
      REQUIRE(got == number<T>(98));
    } else if ((mask >> source & 1u) != 0) {
      REQUIRE(got == number<T>(i - lane + source));
    } else {  // undefined in CUDA: poison here
      const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(T)>>(got);
      REQUIRE(std::count(bytes.begin(), bytes.end(), 0xff) == sizeof(T));
    }
  }
}

TEST_CASE("shuffles: every kind, width, operand and several masks") {
  for (const Kind kind : {Kind::index, Kind::up, Kind::down, Kind::exclusive_or})
    for (const unsigned mask : {kAll, 0x0000ffffu, 0xaaaaaaaau, 0x80000001u, 0x00f0f0f0u})
      for (const int width : {1, 2, 4, 8, 16, 32})
        for (int operand = 0; operand < 32; operand += width < 32 && mask != kAll ? 3 : 1)
          check_shuffle<int>(kind, mask, operand, width);
}

TEST_CASE_TEMPLATE("shuffles of every type", T, int, unsigned, long, unsigned long, long long, unsigned long long,
                   float, double, __nv_bfloat16, __half) {
  for_each_order([] {
    check_shuffle<T>(Kind::index, kAll, 17, 32);
    check_shuffle<T>(Kind::up, 0xffffu, 2, 16);
    check_shuffle<T>(Kind::down, kAll, 1, 8);
    check_shuffle<T>(Kind::exclusive_or, kAll, 16, 32);
  });
}

__global__ void own_source(const int* source, int* out) {
  out[threadIdx.x] = __shfl_sync(kAll, static_cast<int>(threadIdx.x) * 10, source[threadIdx.x]);
}

TEST_CASE("every lane may name a source of its own") {
  for_each_order([] {
    int source[32], out[32];
    for (int i = 0; i < 32; ++i) source[i] = i * 7 + 3;
    run({1, 32}, own_source, source, out);
    for (int i = 0; i < 32; ++i) REQUIRE(out[i] == (i * 7 + 3) % 32 * 10);
  });
}

struct Votes {
  unsigned ballot;
  int any, all;
};
__global__ void votes(unsigned mask, unsigned yes, Votes* out) {
  const unsigned lane = threadIdx.x % 32;
  if ((mask >> lane & 1u) == 0) return;
  const int predicate = (yes >> lane & 1u) != 0 ? -5 : 0;
  out[lane] = {__ballot_sync(mask, predicate), __any_sync(mask, predicate), __all_sync(mask, predicate)};
}

TEST_CASE("votes") {
  for_each_order([] {
    for (const unsigned mask : {kAll, 0xffu, 0x80000000u, 0x0ff00ff0u}) {
      for (const unsigned yes : {0u, kAll, 0x11111111u, 0x80000000u}) {
        std::vector<Votes> out(32, Votes{7, 7, 7});
        run({1, 32}, votes, mask, yes, out.data());
        for (unsigned lane = 0; lane < 32; ++lane) {
          const bool is_in = (mask >> lane & 1u) != 0;
          REQUIRE(out[lane].ballot == (is_in ? mask & yes : 7u));
          REQUIRE(out[lane].any == (is_in ? ((mask & yes) != 0 ? 1 : 0) : 7));
          REQUIRE(out[lane].all == (is_in ? ((mask & yes) == mask ? 1 : 0) : 7));
        }
      }
    }
  });
}

__global__ void reductions(int* out) {
  const int me = static_cast<int>(threadIdx.x) - 10;
  const auto bits = static_cast<unsigned>(me);
  const int all[] = {__reduce_add_sync(kAll, me),
                     __reduce_min_sync(kAll, me),
                     __reduce_max_sync(kAll, me),
                     static_cast<int>(__reduce_max_sync(kAll, bits)),
                     static_cast<int>(__reduce_min_sync(kAll, bits)),
                     static_cast<int>(__reduce_add_sync(kAll, bits))};
  if (threadIdx.x == 9)
    for (int i = 0; i < 6; ++i) out[i] = all[i];
}

TEST_CASE("integer reductions") {
  int out[6] = {};
  run({1, 32}, reductions, out);
  CHECK(out[0] == 31 * 32 / 2 - 320);
  CHECK(out[1] == -10);
  CHECK(out[2] == 21);
  CHECK(out[3] == -1);
  CHECK(out[4] == 0);
  CHECK(out[5] == out[0]);
}

// The halves of a warp go different ways, each with its own mask, and meet again.
__global__ void halves(int* out) {
  const int me = static_cast<int>(threadIdx.x);
  int value = me;
  if (me < 16) {
    for (int i = 1; i < 16; i *= 2) value += __shfl_xor_sync(0xffffu, value, i);
  } else {
    value = __shfl_down_sync(0xffff0000u, value, 1);
    __syncwarp(0xffff0000u);
  }
  __syncwarp();
  out[me] = __shfl_sync(kAll, value, 31 - me);
}

TEST_CASE("parts of a warp that meet by themselves") {
  for_each_order([] {
    int out[32];
    run({1, 32}, halves, out);
    for (int i = 0; i < 32; ++i) REQUIRE(out[31 - i] == (i < 16 ? 120 : (i == 31 ? 31 : i + 1)));
  });
}

struct Lines {
  int of[64];
};
__global__ void neighbours(int* out) {
  auto& shared = block_shared<Lines>();
  shared.of[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = shared.of[threadIdx.x ^ 31u];
}

TEST_CASE("__syncwarp orders memory within a warp") {
  for_each_order([] {
    std::vector<int> out(64);
    run({1, 64}, neighbours, out.data());
    for (int i = 0; i < 64; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == (i ^ 31));
  });
}

__global__ void tail(float* out) {
  if (threadIdx.x >= 20) return;
  __syncwarp();
  out[threadIdx.x] = __shfl_down_sync(kAll, static_cast<float>(threadIdx.x), 1);
}

TEST_CASE("a full mask waits for no exited lane; their values are poison") {
  for_each_order([] {
    for (const unsigned threads : {32u, 20u}) {
      std::vector<float> out(20);
      run({1, threads}, tail, out.data());
      for (int i = 0; i < 19; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == static_cast<float>(i + 1));
      REQUIRE(out[19] != out[19]);
    }
  });
}

__global__ void two_shuffles(int* out) {
  if (threadIdx.x < 8)
    out[threadIdx.x] = __shfl_sync(kAll, 1, 0);
  else
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}
__global__ void not_in_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(0xfffffffeu, 1, 1);
}
__global__ void half_at_barrier(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(kAll, 1, 1);
  __syncthreads();
}
__global__ void odd_width(int* out) {
  out[threadIdx.x] = __shfl_sync(kAll, 1, 1, 12);
}

TEST_CASE("divergence of a warp is an Error that says how many wait where") {
  for_each_order([] {
    int out[32];
    const std::string kinds = error_of({1, 32}, two_shuffles, out);
    CHECK(contains(kinds, "two_shuffles"));
    CHECK(contains(kinds, "__shfl_sync ("));
    CHECK(contains(kinds, "__shfl_xor_sync ("));
    CHECK(contains(kinds, "warp_test.cpp:"));
    const std::string mask = error_of({1, 32}, not_in_mask, out);
    CHECK(contains(mask, "0xfffffffe lacks the caller, lane 0"));
    const std::string half = error_of({1, 32}, half_at_barrier, out);
    CHECK(contains(half, "no thread can go on"));
    CHECK(contains(half, "16 wait at __shfl_sync"));
    CHECK(contains(half, "16 wait at __syncthreads"));
    CHECK(contains(error_of({1, 32}, odd_width, out), "width 12"));
  });
}

}  // namespace
}  // namespace rook::emu::test
