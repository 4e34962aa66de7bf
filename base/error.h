// The one error type of rook: a message for the user, and where in the code it was raised.
#pragma once

#include <stdexcept>
#include <string>
#include <version>

// clang 14 with libstdc++ (Debian 12's linter) has it only as the library technical specification.
#ifdef __cpp_lib_source_location
#include <source_location>
namespace rook {
using SourceLocation = std::source_location;
}
#else
#include <experimental/source_location>
namespace rook {
using SourceLocation = std::experimental::source_location;
}
#endif

namespace rook {

// What is wrong, where (file:line, layer, image), and what to do, in one line. `main` prints it and exits with 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, SourceLocation where = SourceLocation::current())
      : std::runtime_error(message), where_(where) {}

  const SourceLocation& where() const { return where_; }

 private:
  SourceLocation where_;
};

}  // namespace rook
