// Files as bytes: what the tests of formats of weights share.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/files.h"

namespace rook::test {

using Bytes = std::vector<std::byte>;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace rook::test
