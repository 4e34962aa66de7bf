// Turns: who starts, who runs next, what happens when a thread ends or fails. Where threads meet is in meeting.cpp.
#include "kernels/emu/block.h"

#include <fmt/core.h>

#include <utility>

#include "kernels/emu/sanitizers.h"
#include "kernels/emu/symbols.h"

namespace rook::emu {

constinit thread_local uint3 threadIdx{0, 0, 0};
constinit thread_local uint3 blockIdx{0, 0, 0};
constinit thread_local dim3 blockDim;
constinit thread_local dim3 gridDim;

namespace machine {

constinit thread_local unsigned current_lane = 0;

Machine::Machine() : threads_(std::make_unique<Thread[]>(kMaxThreads)) {}

void Machine::prepare(const Launch& launch, ThreadOrder order) {
  launch_ = &launch;
  order_ = order;
  const dim3 shape = launch.block;
  if (shape.x != shape_.x || shape.y != shape_.y || shape.z != shape_.z) {
    shape_ = shape;
    count_ = static_cast<int>(shape.x * shape.y * shape.z);
    for (int i = 0; i < count_; ++i) {
      const auto n = static_cast<unsigned>(i);
      threads_[i].linear = n;
      threads_[i].index = {n % shape.x, n / shape.x % shape.y, n / shape.x / shape.y};
    }
  }
  turn_.resize(static_cast<std::size_t>(count_));
  for (int i = 0; i < count_; ++i)
    turn_[static_cast<std::size_t>(i)] = &threads_[order == ThreadOrder::reverse ? count_ - 1 - i : i];
  blockDim = shape;
  gridDim = launch.grid;
  adopt_this_thread(home_);
  // To ThreadSanitizer a fiber comes after whoever made it: none may be made by another.
  while (sanitizer::kThread && fibers_.size() < turn_.size()) {
    Fiber& fiber = new_fiber();
    fiber.next = std::exchange(free_, &fiber);
  }
}

void Machine::run_block(uint3 index, std::uint64_t seed) {
  const sanitizer::Unwatched unwatched;
  random_state_ = seed;
  block_index_ = blockIdx = index;
  started_ = at_barrier_ = 0;
  barrier_yes_ = 0;
  alive_ = count_;
  aborting_ = false;
  for (int first = 0, w = 0; first < count_; first += kLanes, ++w) {
    const int lanes = count_ - first;
    warps_[static_cast<std::size_t>(w)].alive = lanes >= kLanes ? ~0u : (1u << lanes) - 1;
    warps_[static_cast<std::size_t>(w)].meetings = 0;
  }
  if (order_ == ThreadOrder::shuffled) shuffle(turn_.data(), count_);
  arena_.start_block(launch_->dynamic_shared);
  if (std::exchange(has_copies_, false)) forget_copies();

  sanitizer::release(&block_start_);
  switch_fiber(home_, free_fiber());
  if (alive_ > 0 && !aborting_) {
    abort(std::make_exception_ptr(Error(fmt::format("{}: no thread can go on: {}", place(), describe_waiting()))));
    switch_fiber(home_, next_fiber());
  }
  while (used_ != nullptr) {
    Fiber* fiber = std::exchange(used_, used_->next);
    fiber->next = std::exchange(free_, fiber);
  }
  sanitizer::acquire(&block_end_);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Machine::fiber_body(Fiber& fiber) {
  fiber.machine->work(fiber);
}

void Machine::work(Fiber& fiber) {
  for (;;) {
    run_threads(fiber);
    Fiber*& list = sanitizer::kThread ? used_ : free_;
    fiber.next = std::exchange(list, &fiber);
    switch_fiber(fiber, next_fiber());
  }
}

// The next thread that has not run yet, unless others go first.
inline Thread* Machine::start_next() {
  if (ready_ != nullptr || started_ == count_) return nullptr;
  return turn_[static_cast<std::size_t>(started_++)];
}

// One thread after another, as long as none waits, so that a kernel without barriers needs a single fiber.
[[gnu::noinline]] void Machine::run_threads(Fiber& fiber) {
  std::exception_ptr error;
  try {
    while (Thread* thread = start_next()) {
      thread->fiber = &fiber;
      thread->state = State::ready;
      make_current(*thread);
      sanitizer::acquire(&block_start_);
      {
        const sanitizer::Watched watched;
        launch_->call(launch_->arguments);
      }
      exit_thread(*thread);
      sanitizer::release(&block_end_);
      if (sanitizer::kThread) return;  // threads on one fiber would seem to be ordered
    }
    return;
  } catch (const Abandoned&) {
  } catch (const std::exception& e) {
    const uint3 i = current_->index;
    error = std::make_exception_ptr(Error(fmt::format("{}, thread ({},{},{}): {}", place(), i.x, i.y, i.z, e.what())));
  } catch (...) {
    error = std::current_exception();
  }
  current_->state = State::exited;
  sanitizer::release(&block_end_);
  if (error && !aborting_) abort(error);
}

// What the others wait for may be complete without it.
inline void Machine::exit_thread(Thread& thread) {
  thread.state = State::exited;
  Warp& warp = warps_[thread.linear / kLanes];
  warp.alive &= ~(1u << thread.linear % kLanes);
  --alive_;
  if (at_barrier_ > 0 && at_barrier_ == alive_) open_barrier();
  for (int i = warp.meetings - 1; i >= 0; --i) {
    const Meeting& meeting = warp.meeting[static_cast<std::size_t>(i)];
    if ((meeting.mask & warp.alive & ~meeting.arrived) == 0) finish_meeting(warp, i);
  }
}

Fiber& Machine::free_fiber() {
  return free_ != nullptr ? *std::exchange(free_, free_->next) : new_fiber();
}

Fiber& Machine::new_fiber() {
  Fiber& fiber = *fibers_.emplace_back(std::make_unique<Fiber>());
  fiber.machine = this;
  fiber.body = fiber_body;
  make_fiber(fiber, static_cast<int>(fibers_.size()));
  return fiber;
}

// These threads, in order of their numbers, run next, before all others (when shuffled: in any order, first or last).
void Machine::release(Thread* const* threads, int count) {
  if (count == 0) return;
  Thread* first = nullptr;
  Thread* last = nullptr;
  const auto link = [&](Thread* thread) {
    thread->state = State::ready;
    thread->next = first;
    first = thread;
    if (last == nullptr) last = thread;
  };
  bool front = true;
  if (order_ == ThreadOrder::reverse) {
    for (int i = 0; i < count; ++i) link(threads[i]);
  } else if (order_ == ThreadOrder::forward) {
    for (int i = count - 1; i >= 0; --i) link(threads[i]);
  } else {
    std::array<Thread*, kMaxThreads> mixed;
    for (int i = 0; i < count; ++i) mixed[static_cast<std::size_t>(i)] = threads[i];
    shuffle(mixed.data(), count);
    for (int i = 0; i < count; ++i) link(mixed[static_cast<std::size_t>(i)]);
    front = random() % 2 == 0;
  }
  if (ready_ == nullptr) {
    ready_ = first;
    ready_last_ = last;
  } else if (front) {
    last->next = ready_;
    ready_ = first;
  } else {
    ready_last_->next = first;
    ready_last_ = last;
  }
  ready_last_->next = nullptr;
}

// Nobody starts any more; those who wait get their turn once more, to be unwound.
void Machine::abort(std::exception_ptr error) {
  error_ = std::move(error);
  aborting_ = true;
  const int waiting = std::exchange(started_, count_);
  int count = 0;
  for (int i = 0; i < waiting; ++i) {
    Thread* thread = turn_[static_cast<std::size_t>(i)];
    if (thread->state == State::at_barrier || thread->state == State::at_warp)
      scratch_[static_cast<std::size_t>(count++)] = thread;
  }
  release(scratch_.data(), count);
}

void Machine::forget_copies() {
  for (CopyQueue& queue : copies_) {
    queue.copies.clear();
    queue.done = 0;
    queue.commits = 0;
  }
}

CopyQueue& Machine::copies_of(const Thread& thread) {
  has_copies_ = true;
  if (copies_.empty()) copies_.resize(kMaxThreads);
  return copies_[thread.linear];
}

// splitmix64
std::uint64_t Machine::random() {
  std::uint64_t z = random_state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void Machine::shuffle(Thread** threads, int count) {
  for (int i = count - 1; i > 0; --i) std::swap(threads[i], threads[random() % static_cast<std::uint64_t>(i + 1)]);
}

std::string Machine::place() const {
  return fmt::format("emulator: kernel {}, block ({},{},{})", kernel_name(launch_->kernel), block_index_.x,
                     block_index_.y, block_index_.z);
}

}  // namespace machine
}  // namespace rook::emu
