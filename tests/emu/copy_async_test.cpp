// cp.async: when the data is there, groups, zeros, misuse.
#include "kernels/mma.cuh"
#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

struct alignas(16) Stage {
  unsigned word[64];
};

// Each thread copies Bytes, looks before the wait, and after it; a neighbour looks after the barrier.
template <int Bytes>
__global__ void copy(const unsigned* in, unsigned valid, unsigned* before, unsigned* after, unsigned* neighbour) {
  constexpr unsigned kWords = Bytes / 4;
  auto& stage = block_shared<Stage>();
  const unsigned me = threadIdx.x;
  cp_async<Bytes>(&stage.word[me * kWords], in + me * kWords, (valid >> me & 1u) != 0);
  cp_async_commit();
  before[me] = stage.word[me * kWords];
  cp_async_wait<0>();
  after[me] = stage.word[me * kWords + kWords - 1];
  __syncthreads();
  neighbour[me] = stage.word[(blockDim.x - 1 - me) * kWords];
}

template <int Bytes>
void check_copy() {
  constexpr unsigned kWords = Bytes / 4;
  constexpr unsigned kThreads = 16;
  alignas(16) unsigned in[64];
  for (unsigned i = 0; i < 64; ++i) in[i] = 100 + i;
  const unsigned valid = 0xf7ff;
  const auto expected = [&](unsigned thread, unsigned word) {
    return (valid >> thread & 1u) != 0 ? 100 + thread * kWords + word : 0u;
  };
  for_each_order([&] {
    unsigned before[kThreads], after[kThreads], neighbour[kThreads];
    run({1, kThreads}, copy<Bytes>, in, valid, before, after, neighbour);
    for (unsigned i = 0; i < kThreads; ++i) {
      REQUIRE(before[i] == 0xffffffffu);
      REQUIRE(after[i] == expected(i, kWords - 1));
      REQUIRE(neighbour[i] == expected(kThreads - 1 - i, 0));
    }
  });
}

TEST_CASE("asynchronous copies are poison before their wait, there after it, zero when not valid") {
  check_copy<4>();
  check_copy<8>();
  check_copy<16>();
}

// Three groups; wait<N> leaves the last N under way. out[3 * round + group]
__global__ void groups(const unsigned* in, unsigned* out) {
  auto& stage = block_shared<Stage>();
  for (unsigned group = 0; group < 3; ++group) {
    cp_async<4>(&stage.word[group], in + group);
    cp_async_commit();
  }
  const auto look = [&](int round) {
    for (int i = 0; i < 3; ++i) out[3 * round + i] = stage.word[i];
  };
  cp_async_wait<3>();
  look(0);
  cp_async_wait<2>();
  look(1);
  cp_async_wait<1>();
  look(2);
  cp_async<4>(&stage.word[3], in + 3);  // not committed: no group yet
  cp_async_wait<0>();
  look(3);
  out[12] = stage.word[3];
  cp_async_commit();
  cp_async_commit();  // an empty group counts
  cp_async_wait<1>();
  out[13] = stage.word[3];
}

TEST_CASE("groups of asynchronous copies complete in order") {
  const unsigned in[4] = {1, 2, 3, 4};
  unsigned out[14];
  run({1, 1}, groups, in, out);
  constexpr unsigned kNot = 0xffffffffu;
  const unsigned expected[14] = {kNot, kNot, kNot, 1, kNot, kNot, 1, 2, kNot, 1, 2, 3, kNot, 4};
  for (int i = 0; i < 14; ++i) CHECK(out[i] == expected[i]);
}

// The usual pipeline: while one stage is summed, the next is on its way.
__global__ void pipeline(const unsigned* in, int steps, unsigned* out) {
  auto* stage = dynamic_shared<unsigned>();  // [3][32]
  const unsigned me = threadIdx.x;
  for (int i = 0; i < 2; ++i) {
    if (i < steps) cp_async<4>(&stage[static_cast<unsigned>(i) * 32 + me], in + static_cast<unsigned>(i) * 32 + me);
    cp_async_commit();
  }
  unsigned sum = 0;
  for (int i = 0; i < steps; ++i) {
    cp_async_wait<1>();
    __syncthreads();
    for (unsigned k = 0; k < 32; ++k) sum += (k + me) * stage[static_cast<unsigned>(i % 3) * 32 + k];
    const auto next = static_cast<unsigned>(i + 2);
    if (i + 2 < steps) cp_async<4>(&stage[next % 3 * 32 + me], in + next * 32 + me);
    cp_async_commit();
  }
  out[me] = sum;
}

TEST_CASE("a pipeline of asynchronous copies") {
  constexpr int kSteps = 9;
  std::vector<unsigned> in(kSteps * 32);
  for (unsigned i = 0; i < in.size(); ++i) in[i] = i * 2654435761u >> 20;
  for_each_order([&] {
    std::vector<unsigned> out(64);
    run({2, 32, 3 * 32 * sizeof(unsigned)}, pipeline, in.data(), kSteps, out.data());
    for (unsigned t = 0; t < 32; ++t) {
      unsigned sum = 0;
      for (unsigned i = 0; i < in.size(); ++i) sum += (i % 32 + t) * in[i];
      REQUIRE(out[t] == sum);
    }
  });
}

__global__ void misaligned(const unsigned* in) {
  cp_async<16>(&block_shared<Stage>().word[1], in);
}
__global__ void misaligned_source(const unsigned* in) {
  cp_async<8>(&block_shared<Stage>().word[0], in + 1);
}
__global__ void not_shared(const unsigned* in, unsigned* out) {
  cp_async<4>(out, in);
}

TEST_CASE("asynchronous copies to the wrong places are Errors") {
  alignas(16) unsigned in[8] = {};
  unsigned out = 0;
  CHECK(contains(error_of({1, 1}, misaligned, in), "multiples of 16"));
  CHECK(contains(error_of({1, 1}, misaligned_source, in), "multiples of 8"));
  CHECK(contains(error_of({1, 1}, not_shared, in, &out), "not in the block's shared memory"));
}

}  // namespace
}  // namespace rook::emu::test
