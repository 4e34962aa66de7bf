// What numbers of the command line may be: checks for CLI11's options.
#pragma once

#include <CLI/CLI.hpp>

namespace rook::app {

// A number from `least` to `most`; what is none (nan, words) is refused as well. The message names both bounds.
CLI::Validator between(double least, double most);
// Not empty, as what a variable of the shell that is not set gives.
CLI::Validator something();
// The side of a network's input: a multiple of 32 from 32 to 8192.
CLI::Validator input_side();

}  // namespace rook::app
