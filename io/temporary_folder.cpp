#include "io/temporary_folder.h"

#include <fmt/format.h>

#include <system_error>
#include <vector>

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

UnfinishedFolder::UnfinishedFolder(const fs::path& folder) : path_(folder), existed_(fs::exists(folder)) {}

UnfinishedFolder::~UnfinishedFolder() {
  if (kept_) return;
  std::error_code ignored;
  if (!existed_) {
    fs::remove_all(path_, ignored);
    return;
  }
  std::vector<fs::path> written;
  for (fs::directory_iterator at(path_, ignored), end; !ignored && at != end; at.increment(ignored))
    written.push_back(at->path());
  for (const fs::path& each : written) fs::remove_all(each, ignored);
}

}  // namespace rook::io
