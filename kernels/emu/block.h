// One block at a time: its threads take turns on this OS thread.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emu/arena.h"
#include "kernels/emu/control.h"
#include "kernels/emu/fiber.h"
#include "kernels/emu/machine.h"

namespace rook::emu::machine {

inline constexpr int kMaxThreads = 1024;
inline constexpr int kLanes = 32;

// A copy that is under way.
struct AsyncCopy {
  void* shared;
  const void* global;
  int bytes;
  bool valid;
  unsigned group;  // number of the commit that it belongs to
};

// What a thread has copied asynchronously.
struct CopyQueue {
  std::vector<AsyncCopy> copies;
  std::size_t done = 0;  // of them
  unsigned commits = 0;
};

enum class State : std::uint8_t { ready, at_barrier, at_warp, exited };

// One line of the cache.
struct alignas(64) Thread {
  uint3 index{};
  unsigned linear = 0;
  State state = State::ready;
  const Site* site = nullptr;  // where it waits
  Fiber* fiber = nullptr;
  Thread* next = nullptr;               // in the list of those who can run
  std::uint64_t arrived = 0, left = 0;  // their addresses are objects of synchronisation to ThreadSanitizer
};

// Threads of a warp that wait for each other.
struct Meeting {
  unsigned mask = 0;
  unsigned arrived = 0;
  const Site* site = nullptr;
  Complete complete = nullptr;
  MemoryOrder order = MemoryOrder::relaxed;
};

struct Warp {
  unsigned alive = 0;  // lanes that exist and have not exited
  int meetings = 0;
  std::array<Meeting, kLanes> meeting;
  std::array<void*, kLanes> payload;
};

// Unwinds a thread whose block has failed.
struct Abandoned {};

class Machine {
 public:
  Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Before the blocks of a grid.
  void prepare(const Launch& launch, ThreadOrder order);
  // Runs one block to its end, or throws what one of its threads threw, or Error when none can go on.
  void run_block(uint3 index, std::uint64_t seed);

  BlockVote meet_block(const Site& site, bool predicate);
  void meet_warp(const Site& site, unsigned mask, void* payload, Complete complete, MemoryOrder order);
  Thread& current() { return *current_; }
  Arena& arena() { return arena_; }
  CopyQueue& copies_of(const Thread& thread);

 private:
  static void fiber_body(Fiber& fiber);
  void work(Fiber& fiber);
  Thread* start_next();
  void run_threads(Fiber& fiber);
  void exit_thread(Thread& thread);
  void make_current(Thread& thread) {
    current_ = &thread;
    threadIdx = thread.index;
    current_lane = thread.linear % kLanes;
  }
  Fiber& next_fiber() {
    if (Thread* thread = ready_) {
      ready_ = thread->next;
      return *thread->fiber;
    }
    return started_ < count_ ? free_fiber() : home_;
  }
  Fiber& free_fiber();
  Fiber& new_fiber();
  // Lets others run until `thread` is released.
  [[gnu::always_inline]] void wait_turn(Thread& thread) {
    if (ready_ == &thread)
      ready_ = thread.next;
    else
      switch_fiber(*thread.fiber, next_fiber());
    make_current(thread);
    if (aborting_) throw Abandoned{};
  }
  void open_barrier();
  void finish_meeting(Warp& warp, int number);
  void release(Thread* const* threads, int count);
  void abort(std::exception_ptr error);
  void forget_copies();
  std::uint64_t random();
  void shuffle(Thread** threads, int count);
  std::string describe_waiting() const;
  std::string place() const;
  [[noreturn]] void fail_at(const Site& site, const std::string& what);

  const Launch* launch_ = nullptr;
  ThreadOrder order_ = ThreadOrder::forward;
  std::uint64_t random_state_ = 0;
  uint3 block_index_{};
  dim3 shape_ = 0;  // of the blocks that threads_ is laid out for

  int count_ = 0;    // threads of the block
  int started_ = 0;  // in turn_
  int alive_ = 0;    // threads that have not exited
  Thread* current_ = nullptr;
  Thread* ready_ = nullptr;       // first that can run
  Thread* ready_last_ = nullptr;  // valid while ready_ is not null
  bool aborting_ = false;
  std::exception_ptr error_;

  int at_barrier_ = 0;
  unsigned barrier_yes_ = 0;
  const Site* barrier_site_ = nullptr;
  BlockVote barrier_result_{};
  unsigned barriers_ = 0;  // that have opened
  // Objects of synchronisation, of one barrier and the next in turn: who arrives at the next one before others have
  // left this one must not seem to come before them. Nobody is two ahead.
  std::array<std::uint64_t, 2> barrier_ordered_{};

  std::unique_ptr<Thread[]> threads_;
  std::vector<CopyQueue> copies_;  // of each thread; empty until a kernel copies asynchronously
  bool has_copies_ = false;        // in this block
  std::vector<Thread*> turn_;      // the order in which threads start
  std::array<Thread*, kMaxThreads> scratch_;
  std::array<Warp, kMaxThreads / kLanes> warps_;
  Arena arena_;

  Fiber home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* free_ = nullptr;
  Fiber* used_ = nullptr;                          // ThreadSanitizer: not again in this block
  std::uint64_t block_start_ = 0, block_end_ = 0;  // objects of synchronisation, too
};

}  // namespace rook::emu::machine
