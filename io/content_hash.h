// What names a photo by its bytes: SHA-256, which nobody can find a second file for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace rook::io {

// SHA-256 as 64 lower-case hexadecimal digits.
std::string content_hash(std::span<const std::byte> bytes);
std::string content_hash(std::string_view text);
// Of a file, read piece by piece. Throws Error naming it.
std::string content_hash_of_file(const std::filesystem::path& file);

bool is_content_hash(std::string_view text);
// A number that is spread evenly over 0..1, made of the first 53 bits: the same for the same bytes, anywhere.
double share_of_hash(std::string_view hash);

}  // namespace rook::io
