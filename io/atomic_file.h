// Files that are written whole or not at all, and folders for them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace rook::io {

// Writes `bytes` to a temporary name in the same folder, syncs it and renames it to `file`: a reader, or the user after
// a power cut, finds the old content or the new one, never a part. Throws Error with the path and the system's reason;
// the temporary file is then gone and the old file untouched. A device or pipe (/dev/stdout) is written to directly.
void write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& file, const std::string& text);

// Makes a folder, and those that it lies in, where they are missing. Throws Error with the path and the system's
// reason.
void make_folder(const std::filesystem::path& folder);

}  // namespace rook::io
