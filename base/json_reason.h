// What an exception of the JSON library says, as people should read it.
#pragma once

#include <exception>
#include <string>

namespace rook {

// Without the library's own name and number: "[json.exception.out_of_range.403] key 'a' not found" -> "key 'a' not
// found".
inline std::string json_reason(const std::exception& error) {
  const std::string text = error.what();
  if (!text.starts_with("[json.exception.")) return text;
  const std::size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace rook
