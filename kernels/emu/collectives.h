// Barriers, shuffles and votes. `where` is the caller's place, for error messages and to tell that threads wait at
// different operations.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

#include "kernels/emu/machine.h"

namespace rook::emu {

using Where = SourceLocation;

inline void __syncthreads(const Where& where = Where::current()) {
  machine::meet_block({"__syncthreads", where}, false);
}
// How many threads, whether all threads, whether any thread of the block came with a predicate other than 0.
inline int __syncthreads_count(int predicate, const Where& where = Where::current()) {
  return static_cast<int>(machine::meet_block({"__syncthreads_count", where}, predicate != 0).yes);
}
inline int __syncthreads_and(int predicate, const Where& where = Where::current()) {
  const machine::BlockVote vote = machine::meet_block({"__syncthreads_and", where}, predicate != 0);
  return vote.yes == vote.arrived ? 1 : 0;
}
inline int __syncthreads_or(int predicate, const Where& where = Where::current()) {
  return machine::meet_block({"__syncthreads_or", where}, predicate != 0).yes > 0 ? 1 : 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const Where& where = Where::current()) {
  machine::meet_warp({"__syncwarp", where}, mask, nullptr, nullptr, machine::MemoryOrder::ordered);
}

namespace machine {

struct Vote {
  bool predicate;
  unsigned yes = 0, lanes = 0;
};

inline void complete_vote(unsigned lanes, void* const* payloads) {
  unsigned yes = 0;
  for (unsigned left = lanes; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    yes |= static_cast<Vote*>(payloads[lane])->predicate ? 1u << lane : 0u;
  }
  for (unsigned left = lanes; left != 0; left &= left - 1) {
    Vote& vote = *static_cast<Vote*>(payloads[std::countr_zero(left)]);
    vote.yes = yes;
    vote.lanes = lanes;
  }
}

inline Vote vote(const Site& site, unsigned mask, int predicate) {
  Vote mine{.predicate = predicate != 0};
  meet_warp(site, mask, &mine, complete_vote);
  return mine;
}

// What a lane brings to a shuffle, and what it takes away.
template <class T>
struct Exchange {
  T value;
  unsigned source;  // lane to take the value of
  T result;
};

// From a lane that is not there (exited, or not in the mask) comes poison.
template <class T>
void complete_exchange(unsigned lanes, void* const* payloads) {
  for (unsigned left = lanes; left != 0; left &= left - 1) {
    auto& mine = *static_cast<Exchange<T>*>(payloads[std::countr_zero(left)]);
    if (lanes >> mine.source & 1u)
      mine.result = static_cast<const Exchange<T>*>(payloads[mine.source])->value;
    else
      std::memset(static_cast<void*>(&mine.result), kPoison, sizeof(T));
  }
}

template <class T>
T exchange(const Site& site, unsigned mask, const T& value, unsigned source) {
  Exchange<T> mine{value, source, value};
  meet_warp(site, mask, &mine, complete_exchange<T>);
  return mine.result;
}

// Widths other than powers of two up to 32 are undefined in CUDA.
[[noreturn]] void fail_width(const Site& site, int width);
inline void check_width(const Site& site, int width) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail_width(site, width);
}

// Integer reduction of a warp (sm_80).
template <class T>
struct Reduction {
  T value;
};
template <class T, class Operation>
void complete_reduction(unsigned lanes, void* const* payloads) {
  T sum = static_cast<Reduction<T>*>(payloads[std::countr_zero(lanes)])->value;
  for (unsigned left = lanes & (lanes - 1); left != 0; left &= left - 1)
    sum = Operation{}(sum, static_cast<Reduction<T>*>(payloads[std::countr_zero(left)])->value);
  for (unsigned left = lanes; left != 0; left &= left - 1)
    static_cast<Reduction<T>*>(payloads[std::countr_zero(left)])->value = sum;
}
template <class Operation, class T>
T reduce(const Site& site, unsigned mask, T value) {
  Reduction<T> mine{value};
  meet_warp(site, mask, &mine, complete_reduction<T, Operation>);
  return mine.value;
}
struct Plus {
  unsigned operator()(unsigned a, unsigned b) const { return a + b; }
  int operator()(int a, int b) const { return static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b)); }
};
struct Least {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};
struct Greatest {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

}  // namespace machine

inline unsigned __ballot_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  return machine::vote({"__ballot_sync", where}, mask, predicate).yes;
}
inline int __any_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  return machine::vote({"__any_sync", where}, mask, predicate).yes != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  const machine::Vote vote = machine::vote({"__all_sync", where}, mask, predicate);
  return vote.yes == vote.lanes ? 1 : 0;
}

struct __half;
struct __half2;
struct __nv_bfloat16;
struct __nv_bfloat162;

// What CUDA's shuffles take. Smaller types must be converted by the caller, as there.
template <class T>
concept ShuffleValue = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, long> ||
    std::same_as<T, unsigned long> || std::same_as<T, long long> || std::same_as<T, unsigned long long> ||
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, __half> || std::same_as<T, __half2> ||
    std::same_as<T, __nv_bfloat16> || std::same_as<T, __nv_bfloat162>;

// PTX shfl.idx, .up, .down, .bfly: within segments of `width` lanes; where the source lies outside of its segment, a
// lane keeps its own value (idx: the number is taken modulo the width; bfly may look into lower segments).
template <ShuffleValue T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const Where& where = Where::current()) {
  const machine::Site site{"__shfl_sync", where};
  machine::check_width(site, width);
  const unsigned lane = machine::lane();
  const auto w = static_cast<unsigned>(width);
  return machine::exchange(site, mask, value, (lane & ~(w - 1)) | (static_cast<unsigned>(source) & (w - 1)));
}
template <ShuffleValue T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, const Where& where = Where::current()) {
  const machine::Site site{"__shfl_up_sync", where};
  machine::check_width(site, width);
  const unsigned lane = machine::lane();
  const unsigned first = lane & ~(static_cast<unsigned>(width) - 1);
  delta &= 31u;
  return machine::exchange(site, mask, value, lane >= first + delta ? lane - delta : lane);
}
template <ShuffleValue T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, const Where& where = Where::current()) {
  const machine::Site site{"__shfl_down_sync", where};
  machine::check_width(site, width);
  const unsigned lane = machine::lane();
  const unsigned last = lane | (static_cast<unsigned>(width) - 1);
  delta &= 31u;
  return machine::exchange(site, mask, value, lane + delta <= last ? lane + delta : lane);
}
template <ShuffleValue T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, const Where& where = Where::current()) {
  const machine::Site site{"__shfl_xor_sync", where};
  machine::check_width(site, width);
  const unsigned lane = machine::lane();
  const unsigned last = lane | (static_cast<unsigned>(width) - 1);
  const unsigned source = lane ^ (static_cast<unsigned>(lane_mask) & 31u);
  return machine::exchange(site, mask, value, source <= last ? source : lane);
}

inline int __reduce_add_sync(unsigned mask, int value, const Where& where = Where::current()) {
  return machine::reduce<machine::Plus>({"__reduce_add_sync", where}, mask, value);
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, const Where& where = Where::current()) {
  return machine::reduce<machine::Plus>({"__reduce_add_sync", where}, mask, value);
}
inline int __reduce_min_sync(unsigned mask, int value, const Where& where = Where::current()) {
  return machine::reduce<machine::Least>({"__reduce_min_sync", where}, mask, value);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, const Where& where = Where::current()) {
  return machine::reduce<machine::Least>({"__reduce_min_sync", where}, mask, value);
}
inline int __reduce_max_sync(unsigned mask, int value, const Where& where = Where::current()) {
  return machine::reduce<machine::Greatest>({"__reduce_max_sync", where}, mask, value);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, const Where& where = Where::current()) {
  return machine::reduce<machine::Greatest>({"__reduce_max_sync", where}, mask, value);
}

}  // namespace rook::emu
