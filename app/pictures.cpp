#include "app/pictures.h"

#include <fmt/format.h>
#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

bool is_picture(const fs::path& file) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".jfif" || ending == ".png" || ending == ".bmp";
}

}  // namespace

std::vector<fs::path> pictures_of(const std::vector<std::string>& inputs) {
  std::vector<fs::path> files;
  for (const std::string& input : inputs) {
    if (!fs::is_directory(input)) {
      files.emplace_back(input);
      continue;
    }
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(input))
      if (entry.is_regular_file() && is_picture(entry.path())) found.push_back(entry.path());
    if (found.empty()) throw Error(fmt::format("{}: holds no pictures (jpg, png, bmp)", input));
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace rook::app
