// Reads a file of known size front to back, straight into where its bytes shall stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

namespace rook::io {

class FileReader {
 public:
  // Opens a regular file. Throws Error: missing, not readable, or not a regular file (a folder, a pipe).
  explicit FileReader(const std::filesystem::path& file);

  const std::string& name() const { return name_; }  // what messages call it
  std::uint64_t size() const { return size_; }       // bytes of the whole file
  // Fills all of `out` with the next bytes. Throws Error when the file has fewer left.
  void read(std::span<std::byte> out);
  void seek(std::uint64_t offset);  // where the next bytes are

 private:
  std::string name_;
  std::uint64_t size_ = 0;
  std::ifstream stream_;
};

// The same for bytes that are in memory already; `name` is what messages call them.
class SpanReader {
 public:
  SpanReader(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  std::uint64_t size() const { return size_; }
  void read(std::span<std::byte> out);

 private:
  std::string name_;
  std::uint64_t size_ = 0;
  std::span<const std::byte> rest_;
};

}  // namespace rook::io
