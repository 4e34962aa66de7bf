#include "tests/io/cfg_fixtures.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

namespace rook::io::fixtures {

std::vector<std::filesystem::path> cfgs_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".cfg") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::filesystem::path zoo_folder() {
  const char* root = std::getenv("ROOK_SOURCE_DIR");
  const auto source = root ? std::filesystem::path(root) : std::filesystem::path(__FILE__).parent_path() / "../..";
  return source / "model" / "zoo";
}

std::filesystem::path asset(const std::string& below) {
  const char* root = std::getenv("ROOK_ASSETS");
  return root ? std::filesystem::path(root) / below : std::filesystem::path();
}

std::vector<std::filesystem::path> asset_cfgs() {
  const auto folder = asset("cfg");
  if (folder.empty()) {
    MESSAGE("skipped: ROOK_ASSETS is not set");
    return {};
  }
  return cfgs_in(folder);
}

}  // namespace rook::io::fixtures
