// Faults planted on purpose, and that they are found: a missing barrier by the order of threads and by
// ThreadSanitizer, an overrun of shared memory by AddressSanitizer. What ends a program runs as a child process.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/emu/support.h"
#include "tests/process.h"

namespace rook::emu::test {
namespace {

struct Values {
  float of[256];
};

// Reverses a block's values through shared memory.
template <bool HasBarrier>
__global__ void reverse(const float* in, float* out) {
  auto& shared = block_shared<Values>();
  shared.of[threadIdx.x] = in[threadIdx.x];
  if (HasBarrier) __syncthreads();
  out[threadIdx.x] = shared.of[blockDim.x - 1 - threadIdx.x];
}

// The lower half of the threads reads what the upper half writes, in a warp of its own or not; its numbers come out
// right when threads run in reverse.
__global__ void upper_to_lower(float* out) {
  auto& shared = block_shared<Values>();
  const unsigned half = blockDim.x / 2;
  if (threadIdx.x >= half) shared.of[threadIdx.x - half] = 1;
  if (threadIdx.x < half) out[threadIdx.x] = shared.of[threadIdx.x];
}

// A second round writes what others may still read from the first.
template <bool HasSecondBarrier>
__global__ void rounds(float* out) {
  auto& shared = block_shared<Values>();
  float sum = 0;
  for (int i = 0; i < 3; ++i) {
    shared.of[threadIdx.x] = static_cast<float>(i);
    __syncthreads();
    sum += shared.of[(threadIdx.x + 1) % blockDim.x];
    if (HasSecondBarrier) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

// How many orders of threads give something else than the values that are right.
template <class Launch>
int wrong_orders(const std::vector<float>& right, Launch launch_kernel) {
  int wrong = 0;
  for_each_order([&] {
    std::vector<float> out(right.size(), -1);
    launch_kernel(out.data());
    wrong += std::memcmp(out.data(), right.data(), right.size() * sizeof(float)) != 0 ? 1 : 0;
  });
  return wrong;
}

// ThreadSanitizer would report these races, as another test wants.
constexpr bool kMayRace = !sanitizer::kThread;

TEST_CASE("a missing barrier shows in the order of threads") {
  std::vector<float> in(256), reversed(256);
  for (std::size_t i = 0; i < 256; ++i) in[i] = reversed[255 - i] = static_cast<float>(i);
  CHECK(wrong_orders(reversed, [&](float* out) { run({1, 256}, reverse<true>, in.data(), out); }) == 0);
  CHECK(wrong_orders(std::vector<float>(256, 3), [&](float* out) { run({1, 256}, rounds<true>, out); }) == 0);
  if (!kMayRace) return;
  CHECK(wrong_orders(reversed, [&](float* out) { run({1, 256}, reverse<false>, in.data(), out); }) == 5);
  CHECK(wrong_orders(std::vector<float>(256, 3), [&](float* out) { run({1, 256}, rounds<false>, out); }) > 0);
  const int wrong = wrong_orders(std::vector<float>(128, 1), [](float* out) { run({1, 256}, upper_to_lower, out); });
  CHECK(wrong == 4);  // not in reverse
}

struct Box {
  float of[10];
};
__global__ void overrun(int index, float* out) {
  auto& shared = block_shared<Box>();
  auto* dynamic = dynamic_shared<float>();
  auto* own = &shared.of[0];
  if (index >= 1000) {
    dynamic[threadIdx.x] = 1;
    out[threadIdx.x] = dynamic[index - 1000];
  } else {
    own[threadIdx.x] = 1;
    out[threadIdx.x] = own[index];
  }
}

// Run by the tests below in processes of their own.
TEST_CASE("planted: missing barrier with right numbers" * doctest::skip()) {
  set_thread_order(ThreadOrder::reverse);
  std::vector<float> out(256);
  run({1, 256}, upper_to_lower, out.data());
  for (int i = 0; i < 128; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 1);
}
TEST_CASE("planted: missing second barrier" * doctest::skip()) {
  std::vector<float> out(256);
  run({1, 256}, rounds<false>, out.data());
}
TEST_CASE("planted: missing warp barrier" * doctest::skip()) {
  std::vector<float> in(256), out(256);
  run({1, 32}, reverse<false>, in.data(), out.data());
}
TEST_CASE("planted: two blocks write one place" * doctest::skip()) {
  set_threads(2);
  std::vector<float> in(256), out(256);
  run({4000, 128}, reverse<true>, in.data(), out.data());
}
TEST_CASE("planted: overrun of static shared memory" * doctest::skip()) {
  float out[8];
  run({1, 8, 40}, overrun, 10, out);
}
TEST_CASE("planted: underrun of static shared memory" * doctest::skip()) {
  float out[8];
  run({1, 8, 40}, overrun, -1, out);
}
TEST_CASE("planted: overrun of dynamic shared memory" * doctest::skip()) {
  float out[8];
  run({1, 8, 40}, overrun, 1010, out);
}

struct Outcome {
  int status;
  std::string text;
};

// This program again, with one of its skipped cases.
Outcome run_planted(const std::string& name) {
  std::string folder = (std::filesystem::temp_directory_path() / "rook-planted-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  Outcome outcome;
  {
    rook::test::Child child(folder, {std::filesystem::read_symlink("/proc/self/exe").string(),
                                     "--test-case=planted: " + name, "--no-skip"});
    outcome.status = child.wait();
    outcome.text = child.out() + child.err();
  }
  std::filesystem::remove_all(folder);
  return outcome;
}

TEST_CASE("ThreadSanitizer finds a missing barrier even when the numbers come out right") {
  const Outcome right = run_planted("missing barrier with right numbers");
  CHECK(contains(right.text, "1 passed"));
  CHECK((right.status != 0) == sanitizer::kThread);
  if (!sanitizer::kThread) return;
  CHECK(contains(right.text, "ThreadSanitizer: data race"));
  for (const char* name : {"missing second barrier", "missing warp barrier", "two blocks write one place"}) {
    CAPTURE(name);
    const Outcome outcome = run_planted(name);
    CHECK(outcome.status != 0);
    CHECK(contains(outcome.text, "ThreadSanitizer: data race"));
  }
}

TEST_CASE("AddressSanitizer finds an overrun of shared memory") {
  if (!sanitizer::kAddress) return;
  for (const char* kind : {"overrun of static", "underrun of static", "overrun of dynamic"}) {
    const Outcome outcome = run_planted(std::string(kind) + " shared memory");
    CHECK(outcome.status != 0);
    CHECK(contains(outcome.text, "AddressSanitizer: use-after-poison"));
  }
}

}  // namespace
}  // namespace rook::emu::test
