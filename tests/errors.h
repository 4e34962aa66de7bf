// What an action says when it fails.
#pragma once

#include <concepts>
#include <string>

#include "base/error.h"

namespace rook::test {

// The message of the Error that `action` throws, or "" when it throws none.
template <std::invocable Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace rook::test
