// OS threads that help with large grids.
#pragma once

namespace rook::emu::machine {

// Calls work(argument) on this thread and on up to count - 1 others, and returns when all of them are done; with fewer
// when others use them already. `work` must not throw.
void run_on_threads(int count, void (*work)(void*), void* argument);

}  // namespace rook::emu::machine
