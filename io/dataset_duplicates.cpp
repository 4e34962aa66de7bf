// Photos that are in a dataset more than once: by path, and by content.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "io/dataset_internal.h"

namespace rook::io::detail {

namespace fs = std::filesystem;

namespace {

// FNV-1a over 8-byte words, with a shift that carries high bits down (plain FNV on words never moves them).
std::uint64_t hash_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::uint64_t hash = 0xcbf29ce484222325ull;
  std::vector<char> block(1 << 16);
  while (in) {
    std::fill(block.begin(), block.end(), '\0');
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    const std::size_t words = (static_cast<std::size_t>(in.gcount()) + 7) / 8;
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, block.data() + 8 * i, 8);
      hash = (hash ^ word) * 0x100000001b3ull;
      hash ^= hash >> 32;
    }
  }
  return hash;
}

}  // namespace

void find_repeated_photos(std::vector<RawSplit>& splits, std::vector<Fault>& faults) {
  struct Home {
    std::size_t split;
    fs::path labels;
  };
  std::unordered_map<std::string, Home> homes;
  for (std::size_t s = 0; s < splits.size(); ++s) {
    std::map<std::size_t, std::pair<int, fs::path>> shared;
    for (RawImage& image : splits[s].images) {
      if (image.file.empty()) continue;
      const auto [it, added] = homes.emplace(image.file.lexically_normal().string(), Home{s, image.labels});
      if (added) continue;
      const Home& home = it->second;
      image.repeated = image.labels == home.labels;
      if (image.dropped) continue;
      if (home.split == s) {
        image.dropped = true;
        faults.push_back({Fault::Kind::duplicate_image, image.file, 0,
                          fmt::format("stands twice in {}: the second is left out", splits[s].name), true});
      } else if (shared[home.split].first++ == 0) {
        shared[home.split].second = image.file;
      }
    }
    for (const auto& [other, count] : shared) {
      faults.push_back({Fault::Kind::duplicate_image, count.second, 0,
                        fmt::format("{} of {} photos of {} are in {} too, this is the first", count.first,
                                    splits[s].images.size(), splits[s].name, splits[other].name),
                        false});
    }
  }
}

void find_equal_photos(const std::vector<Split>& splits, std::vector<Fault>& faults) {
  struct Photo {
    fs::path file;
    const Split* split = nullptr;
    std::uintmax_t size = 0;
    std::uint64_t hash = 0;
  };
  std::vector<Photo> photos;
  std::set<fs::path> known;  // a photo of two splits is one file and has its own fault
  for (const Split& split : splits) {
    for (const LabelledImage& image : split.images) {
      if (known.insert(image.file.lexically_normal()).second) photos.push_back({.file = image.file, .split = &split});
    }
  }
  std::unordered_map<std::uintmax_t, int> of_size;
  for (Photo& photo : photos) {
    std::error_code error;
    photo.size = fs::file_size(photo.file, error);
    ++of_size[photo.size];
  }
  parallel_for(photos.size(), [&](std::size_t i) {
    if (of_size.at(photos[i].size) > 1) photos[i].hash = hash_file(photos[i].file);
  });
  std::map<std::pair<std::uintmax_t, std::uint64_t>, const Photo*> first;
  for (const Photo& photo : photos) {
    if (of_size.at(photo.size) < 2) continue;
    const auto [it, added] = first.emplace(std::pair{photo.size, photo.hash}, &photo);
    if (added) continue;
    faults.push_back({Fault::Kind::duplicate_image, photo.file, 0,
                      fmt::format("the same bytes as {} (one in {}, one in {})", it->second->file.string(),
                                  photo.split->name, it->second->split->name),
                      false});
  }
}

}  // namespace rook::io::detail
