// The pictures that a user names on the command line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rook::app {

// Files as they are named, folders as the pictures in them by name. Says on standard error how many
// pictures of a folder are left out because rook does not read their kind. Throws Error for a folder without any.
std::vector<std::filesystem::path> pictures_of(const std::vector<std::string>& inputs);

}  // namespace rook::app
