// A folder for files on their way into another one.
#pragma once

#include <filesystem>

namespace rook::io {

// FOLDER.photos beside `folder`, so that files can be linked from one to the other; gone with the object. Throws Error
// when something of that name is there already.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& folder);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace rook::io
