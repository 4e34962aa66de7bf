#include "io/file_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace rook::io {

FileReader::FileReader(const std::filesystem::path& file) : name_(file.string()) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(file, failure);
  if (!std::filesystem::exists(status)) throw Error(fmt::format("{}: no such file; check the path", name_));
  if (!std::filesystem::is_regular_file(status)) throw Error(fmt::format("{}: not a regular file; name a file", name_));
  size_ = std::filesystem::file_size(file, failure);
  if (failure) throw Error(fmt::format("{}: cannot ask for its size: {}", name_, failure.message()));
  stream_.open(file, std::ios::binary);
  if (!stream_) {
    throw Error(fmt::format("{}: cannot open for reading: {}", name_, std::generic_category().message(errno)));
  }
}

void FileReader::read(std::span<std::byte> out) {
  if (out.empty()) return;
  stream_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  if (static_cast<std::size_t>(stream_.gcount()) != out.size()) {
    throw Error(fmt::format("{}: the file ends early or cannot be read ({} of {} bytes); was it changed meanwhile?",
                            name_, stream_.gcount(), out.size()));
  }
}

void FileReader::seek(std::uint64_t offset) {
  stream_.seekg(static_cast<std::streamoff>(offset));
}

SpanReader::SpanReader(std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)), size_(bytes.size()), rest_(bytes) {}

void SpanReader::read(std::span<std::byte> out) {
  if (out.size() > rest_.size()) {
    throw Error(fmt::format("{}: ends early ({} of {} bytes left)", name_, rest_.size(), out.size()));
  }
  std::copy_n(rest_.begin(), out.size(), out.begin());
  rest_ = rest_.subspan(out.size());
}

}  // namespace rook::io
