// Files and text of the dataset readers: lists, names, numbers, names of splits.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <unordered_map>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

template <class Iterator, class Predicate>
std::vector<fs::path> collect(Iterator it, const Predicate& wanted) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const Iterator end; it != end && !error; it.increment(error)) {
    if (wanted(*it)) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());  // the order of directories is the file system's whim
  return found;
}

}  // namespace

Error error_at(const fs::path& file, int line, const std::string& message, SourceLocation where) {
  if (line <= 0) return Error(fmt::format("{}: {}", file.string(), message), where);
  return Error(fmt::format("{}:{}: {}", file.string(), line, message), where);
}

RawSplit& RawDataset::split(const std::string& name) {
  for (RawSplit& found : splits) {
    if (found.name == name) return found;
  }
  splits.push_back({.name = name, .images = {}});
  return splits.back();
}

std::string read_text(const fs::path& file) {
  std::error_code error;
  std::ifstream in(file, std::ios::binary);
  if (!in || fs::is_directory(file, error)) throw Error(fmt::format("{}: cannot be opened", file.string()));
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw Error(fmt::format("{}: cannot be read", file.string()));
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

int line_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  return 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = line.find_first_not_of(kSpace); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(kSpace, begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kSpace, end);
  }
  return fields;
}

std::vector<TextLine> read_lines(const fs::path& file) {
  const std::string text = read_text(file);
  std::vector<TextLine> lines;
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    ++number;
    if (!line.empty()) lines.push_back({.text = std::string(line), .line = number});
    begin = end + 1;
  }
  return lines;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int> parse_integer(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> split_name(std::string_view name) {
  static const std::unordered_map<std::string, std::string> kNames = {
      {"train", "train"},    {"training", "train"}, {"val", "valid"}, {"valid", "valid"},  {"validation", "valid"},
      {"validate", "valid"}, {"dev", "valid"},      {"test", "test"}, {"testing", "test"},
  };
  std::set<std::string> found;
  std::string word;
  for (const char c : lower(name) + ".") {
    if (std::isalpha(static_cast<unsigned char>(c))) {
      word += c;
      continue;
    }
    if (const auto it = kNames.find(word); it != kNames.end()) found.insert(it->second);
    word.clear();
  }
  if (found.size() != 1) return std::nullopt;
  return *found.begin();
}

std::optional<std::string> split_of_key(std::string_view key) {
  const bool word = std::all_of(key.begin(), key.end(), [](unsigned char c) { return std::isalnum(c); });
  return word ? split_name(key) : std::nullopt;
}

// Also endings that cannot be decoded: better an unreadable_image than a photo that silently is not there.
bool is_photo(const fs::path& file) {
  static const std::set<std::string> kEndings = {".jpg", ".jpeg", ".jfif", ".jpe", ".avif", ".jxl",
                                                 ".png", ".bmp",  ".ppm",  ".pgm", ".pnm",  ".tga",
                                                 ".gif", ".psd",  ".webp", ".tif", ".tiff", ".heic"};
  return kEndings.contains(lower(file.extension().string()));
}

std::vector<fs::path> folders_below(const fs::path& folder, std::span<const fs::path> skip) {
  std::error_code error;
  std::set<fs::path> known;  // by their true names, as links may lead in circles
  for (const fs::path& other : skip) known.insert(fs::canonical(other, error));
  // What a link up to a folder above leads to is not below.
  for (fs::path above = fs::canonical(folder, error).parent_path(); known.insert(above).second;) {
    above = above.parent_path();
  }
  std::vector<fs::path> found, links = {folder};
  for (std::size_t i = 0; i < links.size(); ++i) {  // links last, so that a photo keeps its own place where it has one
    std::vector<fs::path> open = {links[i]};
    while (!open.empty()) {
      const fs::path next = std::move(open.back());
      open.pop_back();
      const fs::path real = fs::canonical(next, error);
      if (error || !known.insert(real).second) continue;
      found.push_back(next);
      for (const fs::path& part : folders_in(next)) (fs::is_symlink(part, error) ? links : open).push_back(part);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> photos_in(const fs::path& folder, bool recursive, std::span<const fs::path> skip) {
  const auto wanted = [](const fs::directory_entry& entry) {
    std::error_code ignored;
    return is_photo(entry.path()) && entry.is_regular_file(ignored);
  };
  std::error_code error;
  if (!recursive) return collect(fs::directory_iterator(folder, error), wanted);
  std::vector<fs::path> photos;
  for (const fs::path& part : folders_below(folder, skip)) {
    const std::vector<fs::path> found = collect(fs::directory_iterator(part, error), wanted);
    photos.insert(photos.end(), found.begin(), found.end());
  }
  std::sort(photos.begin(), photos.end());
  return photos;
}

std::vector<fs::path> files_in(const fs::path& folder, std::string_view ending) {
  std::error_code error;
  return collect(fs::directory_iterator(folder, error), [ending](const fs::directory_entry& entry) {
    std::error_code ignored;
    const bool wanted = ending.empty() || lower(entry.path().extension().string()) == ending;
    return wanted && entry.is_regular_file(ignored);
  });
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::error_code error;
  return collect(fs::directory_iterator(folder, error), [](const fs::directory_entry& entry) {
    std::error_code ignored;
    return entry.is_directory(ignored);
  });
}

bool is_file(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error);
}

bool is_folder(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder, error);
}

fs::path resolve(const std::string& path, std::span<const fs::path> bases) {
  // The operating system would read the name only up to a NUL: another file.
  if (path.empty() || path.find('\0') != std::string::npos) return {};
  std::string slashes = path;
  std::replace(slashes.begin(), slashes.end(), '\\', '/');
  std::error_code error;
  for (const fs::path& base : bases) {
    for (const std::string& text : {path, slashes}) {
      const fs::path candidate = base / text;
      if (fs::exists(candidate, error)) return candidate.lexically_normal();
      if (slashes == path) break;
    }
  }
  return {};
}

fs::path resolve_exported(const std::string& path, std::span<const fs::path> bases) {
  const fs::path found = resolve(path, bases);
  if (!found.empty()) return found;
  for (const std::string_view prefix : {"data/", "./data/", "data\\"}) {
    if (path.starts_with(prefix)) return resolve(path.substr(prefix.size()), bases);
  }
  return {};
}

fs::path resolve_listed(const std::string& path, std::span<const fs::path> bases) {
  const fs::path found = resolve_exported(path, bases);
  return found.empty() ? resolve(path, std::vector<fs::path>{fs::current_path()}) : found;
}

std::vector<std::string> read_names(const fs::path& file) {
  std::vector<std::string> names;
  std::unordered_map<std::string, int> lines;
  for (const TextLine& line : read_lines(file)) {
    if (line.line != static_cast<int>(names.size()) + 1) {
      throw error_at(file, static_cast<int>(names.size()) + 1,
                     "blank line between class names: remove it, or the numbers of the classes after it shift");
    }
    if (const auto [it, added] = lines.emplace(line.text, line.line); !added) {
      throw error_at(file, line.line,
                     fmt::format("class '{}' is named twice, first on line {}", line.text, it->second));
    }
    names.push_back(line.text);
  }
  if (names.empty()) throw Error(fmt::format("{}: no class names in it: write one per line", file.string()));
  return names;
}

fs::path find_names(const fs::path& folder) {
  static constexpr std::array<const char*, 6> kUsual = {"classes.txt",     "names.txt", "labels.txt",
                                                        "_darknet.labels", "obj.names", "labels/classes.txt"};
  for (const char* name : kUsual) {
    if (is_file(folder / name)) return folder / name;
  }
  const std::vector<fs::path> others = files_in(folder, ".names");
  return others.empty() ? fs::path() : others.front();
}

}  // namespace rook::io::detail
