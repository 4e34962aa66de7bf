// The store of data sets: a folder that holds each photo once, by its content, and what data sets and their versions
// say about them (docs/datasets.md).
//
//   data/objects/ab/abcd....jpg   photos, as they were added and as versions prepared them; never changed
//   data/chess/rook-data.json     the data set chess as it is now
//   data/chess/v1/rook-data.json  its version 1; never changed
//   data/lock                     held by the one rook that changes something
//
// Everything is written whole and renamed, objects before the manifest that names them: whatever ends the program, the
// store is as it was before or as it is after.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/store_manifest.h"

namespace rook::io {

class Store {
 public:
  // The folder need not exist: it is made with the first data set.
  explicit Store(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path folder_of(const std::string& name) const;
  std::filesystem::path folder_of(const std::string& name, int version) const;
  std::filesystem::path object(const StoredPhoto& photo) const;

  std::vector<std::string> names() const;                    // sorted
  std::vector<int> versions(const std::string& name) const;  // rising
  // Throw Error: no such data set or version (and which there are), or its manifest is damaged.
  StoredSet read_set(const std::string& name) const;
  StoredVersion read_version(const std::string& name, int version) const;

  // --- under a StoreLock ---

  void create(const std::string& name);
  void write(const StoredSet& set) const;
  // Throws Error when there is such a version already.
  void write(const StoredVersion& version) const;
  // Puts the photo's bytes where object() says, unless they are there.
  void put(const StoredPhoto& photo, std::span<const std::byte> bytes) const;
  // Takes away what a killed program left half-written.
  void sweep() const;

 private:
  std::filesystem::path root_;
};

// Holds the store for one process: photos are added and versions made by one at a time. Given back by the system
// however the process ends. Throws Error when another process has it.
class StoreLock {
 public:
  explicit StoreLock(const Store& store);
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

 private:
  int descriptor_ = -1;
};

// The folder of a store: `wanted`, else ROOK_DATA, else data.
std::filesystem::path store_root(const std::string& wanted);

// "chess" or "chess/v1"; version 0: none named. Throws Error for what is no such name.
struct StoredName {
  std::string set;
  int version = 0;
};
StoredName parse_stored_name(const std::string& text);

// What --data names: the file or folder of that path where there is one, else the data set or version of that name in
// the store. Throws Error that says where it looked.
std::filesystem::path find_data(const std::string& data, const std::filesystem::path& store);

// The time now, as manifests write it.
std::string date_now();

// How the photos of the version at `where` were prepared; "none" when that is no version.
Preparation preparation_of(const std::filesystem::path& where);

// Reads every object that data sets and versions name. One line per photo that is missing or has other bytes.
std::vector<std::string> verify(const Store& store);

}  // namespace rook::io
