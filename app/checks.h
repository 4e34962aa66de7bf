// What numbers of the command line may be: checks for CLI11's options.
#pragma once

#include <CLI/CLI.hpp>

namespace rook::app {

// A number from `least` to `most`; what is none (nan, words) is refused as well. The message names both bounds.
CLI::Validator between(double least, double most);
// The side of a network's input: a multiple of 32 from 32 to 8192.
CLI::Validator input_side();

}  // namespace rook::app
