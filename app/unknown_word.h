// A misspelt command or option, named before anything is said to be missing.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace rook::app {

// The first word of the command line that `app`, or the command it chose, does not know: "no option '--dta' (did you
// mean --data?)". Empty when there is none. For after CLI11 has read the words, whether or not it was content.
std::string unknown_word(const CLI::App& app);

}  // namespace rook::app
