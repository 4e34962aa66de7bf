// cp.async: a copy is remembered, its destination poisoned; the wait for its group makes it.
#include <fmt/core.h>

#include <cstdint>
#include <cstring>

#include "kernels/emu/block.h"
#include "kernels/emu/running.h"
#include "kernels/emu/sanitizers.h"

namespace rook::emu::machine {
namespace {

CopyQueue& queue(const char* operation) {
  const sanitizer::Unwatched unwatched;
  Machine& machine = this_machine(operation);
  return machine.copies_of(machine.current());
}

bool is_aligned(const void* pointer, int bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(bytes) == 0;
}

}  // namespace

// The copies themselves are watched by the sanitizers: they are this thread's reads and writes.
void copy_async(void* shared, const void* global, int bytes, bool valid) {
  CopyQueue& mine = queue("cp.async");
  if (!is_aligned(shared, bytes) || !is_aligned(global, bytes))
    throw Error(
        fmt::format("cp.async of {} bytes from {} to {}: both must be multiples of {}", bytes, global, shared, bytes));
  if (!is_shared(shared, static_cast<std::size_t>(bytes)))
    throw Error(fmt::format("cp.async to {}, which is not in the block's shared memory", shared));
  std::memset(shared, kPoison, static_cast<std::size_t>(bytes));
  const sanitizer::Unwatched unwatched;
  mine.copies.push_back({shared, global, bytes, valid, mine.commits});
}

void copy_async_commit() {
  CopyQueue& mine = queue("cp.async.commit_group");
  const sanitizer::Unwatched unwatched;
  ++mine.commits;
}

void copy_async_wait(unsigned pending_groups) {
  CopyQueue& mine = queue("cp.async.wait_group");
  sanitizer::ignore_begin();
  const unsigned complete = mine.commits > pending_groups ? mine.commits - pending_groups : 0;
  std::size_t i = mine.done;
  for (; i < mine.copies.size() && mine.copies[i].group < complete; ++i) {
    const AsyncCopy copy = mine.copies[i];
    sanitizer::ignore_end();
    if (copy.valid)
      std::memcpy(copy.shared, copy.global, static_cast<std::size_t>(copy.bytes));
    else
      std::memset(copy.shared, 0, static_cast<std::size_t>(copy.bytes));
    sanitizer::ignore_begin();
  }
  mine.done = i;
  if (i == mine.copies.size()) {
    mine.copies.clear();
    mine.done = 0;
  }
  sanitizer::ignore_end();
}

}  // namespace rook::emu::machine
