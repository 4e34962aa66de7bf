// The one error type of rook: a message for the user, and where in the code it was raised.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace rook {

// What is wrong, where (file:line, layer, image), and what to do, in one line. `main` prints it and exits with 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::source_location where = std::source_location::current())
      : std::runtime_error(message), where_(where) {}

  const std::source_location& where() const { return where_; }

 private:
  std::source_location where_;
};

}  // namespace rook
