// Where threads wait for each other: barriers of a block, operations of a warp; and who waits where when it fails.
#include <fmt/core.h>

#include <bit>
#include <cstring>
#include <map>
#include <utility>

#include "kernels/emu/block.h"
#include "kernels/emu/running.h"
#include "kernels/emu/sanitizers.h"

namespace rook::emu::machine {
namespace {

// The same literal may have several addresses.
bool is_same(const char* a, const char* b) {
  return a == b || std::strcmp(a, b) == 0;
}

inline bool is_same(const Site& a, const Site& b) {
  if (a.operation == b.operation && std::memcmp(&a.where, &b.where, sizeof(SourceLocation)) == 0) return true;
  return a.where.line() == b.where.line() && a.where.column() == b.where.column() &&
         is_same(a.where.file_name(), b.where.file_name()) && is_same(a.operation, b.operation);
}

std::string describe(const Site& site) {
  return fmt::format("{} ({}:{})", site.operation, site.where.file_name(), site.where.line());
}

}  // namespace

void fail_width(const Site& site, int width) {
  throw Error(fmt::format("{}: width {} is none of 1, 2, 4, 8, 16, 32", describe(site), width), site.where);
}

[[gnu::always_inline]] inline BlockVote Machine::meet_block(const Site& site, bool predicate) {
  const sanitizer::Unwatched unwatched;
  Thread& self = *current_;
  if (at_barrier_ == 0)
    barrier_site_ = &site;
  else if (!is_same(*barrier_site_, site))
    fail_at(site, "another barrier is waited at");
  ++at_barrier_;
  barrier_yes_ += predicate ? 1 : 0;
  self.state = State::at_barrier;
  self.site = &site;
  std::uint64_t& ordered = barrier_ordered_[barriers_ % 2];
  sanitizer::release(&ordered);
  if (at_barrier_ == alive_) open_barrier();
  wait_turn(self);
  sanitizer::acquire(&ordered);
  return barrier_result_;
}

void Machine::open_barrier() {
  barrier_result_ = {barrier_yes_, static_cast<unsigned>(at_barrier_)};
  barrier_yes_ = 0;
  at_barrier_ = 0;
  ++barriers_;
  int count = 0;
  for (int i = 0; i < count_; ++i)
    if (threads_[i].state == State::at_barrier) scratch_[static_cast<std::size_t>(count++)] = &threads_[i];
  release(scratch_.data(), count);
}

[[gnu::always_inline]] inline void Machine::meet_warp(const Site& site, unsigned mask, void* payload, Complete complete,
                                                      MemoryOrder order) {
  const sanitizer::Unwatched unwatched;
  Thread& self = *current_;
  const unsigned lane = self.linear % kLanes;
  Warp& warp = warps_[self.linear / kLanes];
  if ((mask >> lane & 1u) == 0) fail_at(site, fmt::format("its mask {:#010x} lacks the caller, lane {}", mask, lane));
  int number = 0;
  while (number < warp.meetings && warp.meeting[static_cast<std::size_t>(number)].mask != mask) ++number;
  Meeting& meeting = warp.meeting[static_cast<std::size_t>(number)];
  if (number == warp.meetings) {
    ++warp.meetings;
    meeting = {.mask = mask, .arrived = 0, .site = &site, .complete = complete, .order = order};
  } else if (!is_same(*meeting.site, site)) {
    fail_at(site, "others of the warp wait at another operation");
  }
  meeting.arrived |= 1u << lane;
  warp.payload[lane] = payload;
  self.state = State::at_warp;
  self.site = &site;
  if (order == MemoryOrder::ordered) sanitizer::release(&self.arrived);
  if ((mask & warp.alive & ~meeting.arrived) == 0) finish_meeting(warp, number);
  wait_turn(self);
  if (order == MemoryOrder::ordered) sanitizer::acquire(&self.left);
}

void Machine::finish_meeting(Warp& warp, int number) {
  const Meeting meeting = warp.meeting[static_cast<std::size_t>(number)];
  warp.meeting[static_cast<std::size_t>(number)] = warp.meeting[static_cast<std::size_t>(--warp.meetings)];
  if (meeting.complete != nullptr) meeting.complete(meeting.arrived, warp.payload.data());
  Thread* const first = &threads_[(&warp - warps_.data()) * kLanes];
  std::array<Thread*, kLanes> lanes;
  int count = 0;
  for (unsigned left = meeting.arrived; left != 0; left &= left - 1)
    lanes[static_cast<std::size_t>(count++)] = first + std::countr_zero(left);
  if (sanitizer::kThread && meeting.order == MemoryOrder::ordered) {
    for (int i = 0; i < count; ++i) sanitizer::acquire(&lanes[static_cast<std::size_t>(i)]->arrived);
    for (int i = 0; i < count; ++i) sanitizer::release(&lanes[static_cast<std::size_t>(i)]->left);
  }
  release(lanes.data(), count);
}

void Machine::fail_at(const Site& site, const std::string& what) {
  throw Error(fmt::format("arrived at {}, but {}: {}", describe(site), what, describe_waiting()), site.where);
}

// "31 wait at __syncthreads (a.cu:10), 1 waits at __shfl_sync (a.cu:12), 224 exited, 0 not started"
std::string Machine::describe_waiting() const {
  std::map<std::string, int> waiting;
  int exited = 0;
  int others = count_ - started_;
  for (int i = 0; i < started_; ++i) {
    const Thread& thread = *turn_[static_cast<std::size_t>(i)];
    if (thread.state == State::exited)
      ++exited;
    else if (thread.state == State::ready)
      ++others;
    else
      ++waiting[describe(*thread.site)];
  }
  std::string text;
  for (const auto& [where, count] : waiting)
    text += fmt::format("{} {} at {}, ", count, count == 1 ? "waits" : "wait", where);
  return text + fmt::format("{} exited, {} can run, of {} threads", exited, others, count_);
}

BlockVote meet_block(const Site& site, bool predicate) {
  return this_machine(site.operation).meet_block(site, predicate);
}

void meet_warp(const Site& site, unsigned mask, void* payload, Complete complete, MemoryOrder order) {
  this_machine(site.operation).meet_warp(site, mask, payload, complete, order);
}

}  // namespace rook::emu::machine
