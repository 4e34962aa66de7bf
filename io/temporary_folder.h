// Folders that are gone when something goes wrong.
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

// What is written into a folder that does not exist or is empty is gone with the object, and the folder too where it
// was not there before, unless keep() says that all of it is written.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const std::filesystem::path& folder);
  ~UnfinishedFolder();
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;
  void keep() { kept_ = true; }

 private:
  std::filesystem::path path_;
  bool existed_, kept_ = false;
};

}  // namespace rook::io
