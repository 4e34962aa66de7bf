// Knobs of the emulator, and what it has seen. Needs none of its stand-in headers, so tests and programs include it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rook::emu {

// The order in which the threads of a block (and the blocks of a grid) get their turns. A correct kernel computes the
// same in each of them; one that lacks a barrier usually does not.
enum class ThreadOrder : std::uint8_t { forward, reverse, shuffled };

// For launches from now on, in the whole process. The seed belongs to ThreadOrder::shuffled.
void set_thread_order(ThreadOrder order, std::uint64_t seed = 0);

// How many OS threads the blocks of a grid are spread over; 0: one per core, as at the start.
void set_threads(int count);
int threads();

// Bytes that cudaMalloc gives out in all before it reports cudaErrorMemoryAllocation; 0: as much as the machine has.
void set_memory_limit(std::size_t bytes);

// How often cudaMalloc was called in this process.
std::int64_t allocations();

// Whether ThreadSanitizer watches the kernels of this build.
bool watched();

// The demangled names of all kernels launched so far in this process, sorted: "rook::emu::add<float>(...)".
std::vector<std::string> executed_kernels();

}  // namespace rook::emu
