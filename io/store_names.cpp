// Names of data sets: where the store is, what "chess/v1" means, and which path of the user's that is.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <ctime>

#include <fmt/chrono.h>

#include "base/error.h"
#include "io/store.h"

namespace rook::io {

namespace fs = std::filesystem;

fs::path store_root(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  const char* root = std::getenv("ROOK_DATA");
  return root != nullptr && *root != '\0' ? root : "data";
}

StoredName parse_stored_name(const std::string& text) {
  const std::size_t slash = text.find('/');
  StoredName name{.set = text.substr(0, slash)};
  check_set_name(name.set);
  if (slash == std::string::npos) return name;
  const std::string version = text.substr(slash + 1);
  const char* end = version.data() + version.size();
  const bool named = version.size() > 1 && version[0] == 'v' && version[1] != '0' &&
                     std::from_chars(version.data() + 1, end, name.version).ptr == end && name.version > 0;
  if (!named) throw Error(fmt::format("'{}': versions are named like {}/v1", text, name.set));
  return name;
}

fs::path find_data(const std::string& data, const fs::path& store) {
  std::error_code failure;
  if (fs::exists(data, failure)) return data;
  StoredName name;
  try {
    name = parse_stored_name(data);
  } catch (const Error&) {
    throw Error(fmt::format("{}: no such folder or file", data));
  }
  const Store known(store);
  if (known.names().empty())
    throw Error(fmt::format("{}: no such folder or file, and {} holds no data sets (rook data new; --store DIR)", data,
                            store.string()));
  if (name.version == 0) {
    known.read_set(name.set);
    return known.folder_of(name.set);
  }
  known.read_version(name.set, name.version);
  return known.folder_of(name.set, name.version);
}

std::string date_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace rook::io
