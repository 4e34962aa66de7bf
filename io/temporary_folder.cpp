#include "io/temporary_folder.h"

#include <fmt/format.h>

#include <system_error>

#include "base/error.h"

namespace rook::io {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder(const fs::path& folder) : path_(folder.lexically_normal() / "") {
  path_ = path_.parent_path().concat(".photos");
  std::error_code failure;
  const bool made = fs::create_directories(path_, failure);
  if (failure) throw Error(fmt::format("{}: cannot be made: {}", path_.string(), failure.message()));
  if (!made) throw Error(fmt::format("{}: is in the way; remove it", path_.string()));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace rook::io
