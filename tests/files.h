// Whole files, for tests that look at their bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <vector>

namespace rook::test {

// The bytes of a file in a container of bytes; none where there is no such file.
template <class Bytes = std::vector<std::byte>>
Bytes bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  Bytes bytes(in ? static_cast<std::size_t>(in.tellg()) : 0, {});
  in.seekg(0).read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

inline std::string text_of(const std::filesystem::path& file) {
  return bytes_of<std::string>(file);
}

}  // namespace rook::test
