// Launches: limits, blocks over OS threads; and the entrances to the machine that runs the calling CUDA thread.
#include "kernels/emu/machine.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/emu/block.h"
#include "kernels/emu/control.h"
#include "kernels/emu/pool.h"
#include "kernels/emu/running.h"
#include "kernels/emu/sanitizers.h"
#include "kernels/emu/symbols.h"

namespace rook::emu {
namespace {

struct Settings {
  std::atomic<ThreadOrder> order{ThreadOrder::forward};
  std::atomic<std::uint64_t> seed{0};
  std::atomic<int> threads{0};
};
Settings settings;

}  // namespace

void set_thread_order(ThreadOrder order, std::uint64_t seed) {
  settings.order = order;
  settings.seed = seed;
}

void set_threads(int count) {
  settings.threads = std::max(count, 0);
}

int threads() {
  const int wanted = settings.threads;
  return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

bool watched() {
  return sanitizer::kThread;
}

namespace machine {
namespace {

// Launches with fewer CUDA threads than this are not worth waking other OS threads for.
constexpr std::uint64_t kSmallLaunch = 2048;

// Machines are kept for later launches, with their stacks; an OS thread borrows one.
class Machines {
 public:
  std::unique_ptr<Machine> borrow() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Machine>();
    std::unique_ptr<Machine> machine = std::move(idle_.back());
    idle_.pop_back();
    return machine;
  }
  void give_back(std::unique_ptr<Machine> machine) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(machine));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Machine>> idle_;
};

Machines& machines() {
  static auto* const all = new Machines;  // fibers may not be destroyed after the sanitizers' ends: never
  return *all;
}

// The order of blocks follows that of threads; shuffled: an affine permutation.
struct BlockOrder {
  BlockOrder(ThreadOrder order, std::uint64_t seed, std::uint64_t count) : reverse(order == ThreadOrder::reverse) {
    total = count;
    if (order != ThreadOrder::shuffled || count < 3) return;
    factor = (seed * 0x9e3779b97f4a7c15u >> 33) % count;
    while (std::gcd(factor, count) != 1) factor = (factor + 1) % count;
    offset = seed % count;
  }
  std::uint64_t operator()(std::uint64_t i) const {
    if (reverse) return total - 1 - i;
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(i) * factor + offset) % total);
  }
  bool reverse;
  std::uint64_t total = 0, factor = 1, offset = 0;
};

// One grid, worked at by several OS threads.
class GridRun {
 public:
  explicit GridRun(const Launch& launch)
      : launch_(launch),
        total_(std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z),
        thread_order_(settings.order),
        seed_(settings.seed),
        block_order_(thread_order_, seed_, total_) {}

  std::uint64_t blocks() const { return total_; }

  void work() {
    std::unique_ptr<Machine> machine = machines().borrow();
    running = machine.get();
    machine->prepare(launch_, thread_order_);
    try {
      for (std::uint64_t i = 0; (i = next_.fetch_add(1, std::memory_order_relaxed)) < total_;) {
        const std::uint64_t n = block_order_(i);
        const auto x = static_cast<unsigned>(n % launch_.grid.x);
        const auto y = static_cast<unsigned>(n / launch_.grid.x % launch_.grid.y);
        const auto z = static_cast<unsigned>(n / launch_.grid.x / launch_.grid.y);
        machine->run_block({x, y, z}, (seed_ + 1) * 0xd1342543de82ef95u + n);
      }
    } catch (...) {
      next_.store(total_, std::memory_order_relaxed);
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    running = nullptr;
    machines().give_back(std::move(machine));
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const Launch& launch_;
  const std::uint64_t total_;
  const ThreadOrder thread_order_;
  const std::uint64_t seed_;
  const BlockOrder block_order_;
  std::atomic<std::uint64_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

void check_limits(const Launch& launch) {
  const dim3 g = launch.grid;
  const dim3 b = launch.block;
  const auto fail = [&](const char* what) {
    throw Error(
        fmt::format("emulator: kernel {}: grid ({},{},{}) of blocks ({},{},{}) with {} bytes of dynamic shared "
                    "memory: {}",
                    kernel_name(launch.kernel), g.x, g.y, g.z, b.x, b.y, b.z, launch.dynamic_shared, what));
  };
  if (g.x == 0 || g.y == 0 || g.z == 0 || b.x == 0 || b.y == 0 || b.z == 0) fail("a size is zero");
  if (g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) fail("the grid may have 2^31 - 1, 65535, 65535 blocks");
  if (b.x > kMaxThreads || b.y > kMaxThreads || b.z > 64) fail("a block may have 1024, 1024, 64 threads");
  if (std::uint64_t{b.x} * b.y * b.z > kMaxThreads) fail("a block may have 1024 threads");
  if (launch.dynamic_shared > kMaxShared) fail("a block may have 232448 bytes");
}

}  // namespace

constinit thread_local Machine* running = nullptr;

void fail_outside(const char* operation) {
  throw Error(fmt::format("emulator: {} outside of a kernel", operation));
}

void run(const Launch& launch) {
  check_limits(launch);
  if (running != nullptr) throw Error("emulator: a kernel cannot launch another one");
  note_executed(launch.kernel);
  GridRun grid(launch);
  const std::uint64_t size = grid.blocks() * launch.block.x * launch.block.y * launch.block.z;
  const auto most = static_cast<std::uint64_t>(threads());
  const std::uint64_t workers = size < kSmallLaunch ? 1 : std::min(most, grid.blocks());
  run_on_threads(
      static_cast<int>(workers), [](void* g) { static_cast<GridRun*>(g)->work(); }, &grid);
  grid.rethrow();
}

void* static_shared(const void* tag, std::size_t bytes, std::size_t alignment) {
  const sanitizer::Unwatched unwatched;
  return this_machine("block_shared").arena().object(tag, bytes, alignment);
}

void* dynamic_shared() {
  const sanitizer::Unwatched unwatched;
  return this_machine("dynamic_shared").arena().dynamic();
}

bool is_shared(const void* pointer, std::size_t bytes) {
  const sanitizer::Unwatched unwatched;
  return this_machine("a shared-memory operation").arena().contains(pointer, bytes);
}

void fence() {
  static std::uint64_t everybody;
  sanitizer::acquire(&everybody);
  sanitizer::release(&everybody);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace machine
}  // namespace rook::emu
