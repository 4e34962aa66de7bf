#include "io/class_names.h"

#include <fmt/format.h>

#include <system_error>

#include "io/dataset_internal.h"

namespace rook::io {

std::vector<std::string> read_class_names(const std::filesystem::path& file) {
  if (std::error_code error; !std::filesystem::exists(file, error) || detail::is_folder(file))  // a pipe will do
    throw Error(fmt::format("{}: cannot be opened; --names takes a file with one class name per line", file.string()));
  std::vector<std::string> names;
  for (const detail::TextLine& line : detail::read_lines(file)) {
    const int expected = static_cast<int>(names.size()) + 1;
    if (line.line != expected) throw detail::error_at(file, expected, "a class name is blank");
    names.push_back(line.text);
  }
  if (names.empty()) throw Error(fmt::format("{}: holds no class names", file.string()));
  return names;
}

}  // namespace rook::io
