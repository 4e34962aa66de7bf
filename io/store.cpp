#include "io/store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/dataset_internal.h"

namespace rook::io {

namespace fs = std::filesystem;

namespace {

// Nobody writes into it by mistake: not an editor, and not through a name that shares its bytes.
void make_read_only(const fs::path& file) {
  ::chmod(file.c_str(), S_IRUSR | S_IRGRP | S_IROTH);
}

// The number of a folder "v12", 0 for others.
int version_of(const std::string& folder) {
  int number = 0;
  const char *begin = folder.data() + 1, *end = folder.data() + folder.size();
  if (folder.size() < 2 || folder[0] != 'v' || folder[1] == '0') return 0;
  const auto [rest, failure] = std::from_chars(begin, end, number);
  return failure == std::errc() && rest == end && number > 0 ? number : 0;
}

bool has_manifest(const fs::path& folder) {
  return detail::is_file(folder / kManifestFile);
}

// What write_file_atomically names its files until they are whole.
bool is_half_written(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with(".rook-") && name.ends_with(".tmp");
}

}  // namespace

fs::path Store::folder_of(const std::string& name) const {
  check_set_name(name);
  return root_ / name;
}

fs::path Store::folder_of(const std::string& name, int version) const {
  return folder_of(name) / fmt::format("v{}", version);
}

fs::path Store::object(const StoredPhoto& photo) const {
  return root_ / "objects" / photo.hash.substr(0, 2) / fmt::format("{}.{}", photo.hash, photo.ending);
}

std::vector<std::string> Store::names() const {
  std::vector<std::string> names;
  for (const fs::path& folder : detail::folders_in(root_))
    if (has_manifest(folder)) names.push_back(folder.filename().string());
  return names;
}

std::vector<int> Store::versions(const std::string& name) const {
  std::vector<int> numbers;
  for (const fs::path& folder : detail::folders_in(folder_of(name)))
    if (const int number = version_of(folder.filename().string()); number && has_manifest(folder))
      numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

StoredSet Store::read_set(const std::string& name) const {
  const fs::path file = folder_of(name) / kManifestFile;
  if (!detail::is_file(file)) {
    const std::vector<std::string> known = names();
    throw Error(fmt::format("{}: has no data set {}; {}", root_.string(), name,
                            known.empty() ? fmt::format("make it: rook data new {}", name)
                                          : fmt::format("there are: {}", fmt::join(known, ", "))));
  }
  StoredSet set = parse_set(detail::read_text(file), file.string());
  if (set.name != name) throw Error(fmt::format("{}: is the manifest of {}", file.string(), set.name));
  return set;
}

StoredVersion Store::read_version(const std::string& name, int version) const {
  const fs::path file = folder_of(name, version) / kManifestFile;
  if (!detail::is_file(file)) {
    read_set(name);  // says when there is no such data set at all
    const std::vector<int> known = versions(name);
    throw Error(known.empty()
                    ? fmt::format("{}: has no versions yet; make one: rook data version {}", name, name)
                    : fmt::format("{}: has no version v{}; there are: v{}", name, version, fmt::join(known, ", v")));
  }
  StoredVersion read = parse_version(detail::read_text(file), file.string());
  if (read.name != name || read.number != version)
    throw Error(fmt::format("{}: is the manifest of {}/v{}", file.string(), read.name, read.number));
  return read;
}

void Store::create(const std::string& name) {
  const fs::path folder = folder_of(name);
  if (has_manifest(folder)) throw Error(fmt::format("{}: there is a data set {} already", root_.string(), name));
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw Error(fmt::format("{}: is in the way; take another name", folder.string()));
  make_folder(folder);
  write(StoredSet{.name = name});
}

void Store::write(const StoredSet& set) const {
  const fs::path file = folder_of(set.name) / kManifestFile;
  const std::string text = to_manifest(set);
  parse_set(text, file.string());  // what could not be read again is not written
  write_file_atomically(file, text);
}

void Store::write(const StoredVersion& version) const {
  const fs::path folder = folder_of(version.name, version.number);
  if (has_manifest(folder)) throw Error(fmt::format("{}: exists, and versions are never changed", folder.string()));
  const std::string text = to_manifest(version);
  parse_version(text, (folder / kManifestFile).string());
  make_folder(folder);
  write_file_atomically(folder / kManifestFile, text);
  make_read_only(folder / kManifestFile);
}

void Store::put(const StoredPhoto& photo, std::span<const std::byte> bytes) const {
  const fs::path file = object(photo);
  std::error_code failure;
  if (fs::file_size(file, failure) == bytes.size() && !failure) return;
  make_folder(file.parent_path());
  write_file_atomically(file, bytes);
  make_read_only(file);
}

void Store::sweep() const {
  std::error_code failure;
  std::vector<fs::path> left;
  for (fs::recursive_directory_iterator it(root_, failure), end; it != end && !failure; it.increment(failure))
    if (is_half_written(it->path())) left.push_back(it->path());
  for (const fs::path& file : left) fs::remove(file, failure);
}

}  // namespace rook::io
