// Atomic read-modify-write operations, relaxed as on the device: they order nothing else. All give the old value.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include "kernels/emu/machine.h"

namespace rook::emu {
namespace machine {

template <class T>
concept Word = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;

// old -> operation(old), in one step.
template <class T, class Operation>
T atomic_update(T* address, Operation operation) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = operation(old);
    if (__atomic_compare_exchange(address, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
}

}  // namespace machine

template <machine::Word T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline float atomicAdd(float* address, float value) {
  return machine::atomic_update(address, [=](float old) { return old + value; });
}
inline double atomicAdd(double* address, double value) {
  return machine::atomic_update(address, [=](double old) { return old + value; });
}
inline int atomicSub(int* address, int value) {
  return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicSub(unsigned* address, unsigned value) {
  return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);
}
template <class T>
requires(machine::Word<T> || std::same_as<T, long long>) T atomicMin(T* address, std::type_identity_t<T> value) {
  return machine::atomic_update(address, [=](T old) { return old < value ? old : value; });
}
template <class T>
requires(machine::Word<T> || std::same_as<T, long long>) T atomicMax(T* address, std::type_identity_t<T> value) {
  return machine::atomic_update(address, [=](T old) { return old > value ? old : value; });
}
template <machine::Word T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);
}
template <machine::Word T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
template <machine::Word T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);
}
template <machine::Word T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
inline float atomicExch(float* address, float value) {
  return machine::atomic_update(address, [=](float) { return value; });
}
template <machine::Word T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
// ((old >= limit) ? 0 : old + 1), ((old == 0 || old > limit) ? limit : old - 1)
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return machine::atomic_update(address, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}
inline unsigned atomicDec(unsigned* address, unsigned limit) {
  return machine::atomic_update(address, [=](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}

inline void __threadfence() {
  machine::fence();
}
inline void __threadfence_block() {
  machine::fence();
}
inline void __threadfence_system() {
  machine::fence();
}

}  // namespace rook::emu
