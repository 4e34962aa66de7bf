#include "app/pictures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>

#include "base/error.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

std::string ending_of(const fs::path& file) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

bool is_picture(const std::string& ending) {
  return ending == ".jpg" || ending == ".jpeg" || ending == ".jfif" || ending == ".png" || ending == ".bmp";
}

// Of pictures that rook does not look for in folders.
bool is_other_picture(const std::string& ending) {
  static const std::set<std::string> kEndings = {".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl",  ".pgm",
                                                 ".pnm",  ".ppm", ".psd",  ".tga",  ".tif", ".tiff", ".webp"};
  return kEndings.contains(ending);
}

// The pictures in a folder by name; says how many are left out for their kind.
std::vector<fs::path> pictures_in(const std::string& folder) {
  std::vector<fs::path> found;
  int left_out = 0;
  std::set<std::string> kinds;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string ending = ending_of(entry.path());
    if (is_picture(ending)) found.push_back(entry.path());
    if (!is_other_picture(ending)) continue;
    ++left_out;
    kinds.insert(ending);
  }
  const std::string others = left_out == 0
                                 ? ""
                                 : fmt::format("{} picture{} of other kinds ({}) left out; convert them to jpg or png",
                                               left_out, left_out == 1 ? "" : "s", fmt::join(kinds, ", "));
  if (found.empty())
    throw Error(fmt::format("{}: holds no pictures (jpg, png, bmp){}", folder, others.empty() ? "" : "; " + others));
  if (!others.empty()) fmt::print(stderr, "{}: {}\n", folder, others);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::vector<fs::path> pictures_of(const std::vector<std::string>& inputs) {
  std::vector<fs::path> files;
  for (const std::string& input : inputs) {
    if (!fs::is_directory(input)) {
      files.emplace_back(input);
      continue;
    }
    const std::vector<fs::path> found = pictures_in(input);
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace rook::app
