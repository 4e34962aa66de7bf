// The `rook` command line.
#pragma once

namespace rook::app {

// What `main` returns: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted. Errors are on standard error.
int run_program(int argc, char** argv);

}  // namespace rook::app
