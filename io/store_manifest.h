// What a data set of the store, and a version of one, says about itself on disk: rook-data.json (docs/datasets.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/dataset.h"
#include "io/near_hash.h"

namespace rook::io {

// A photo in the store and its labels.
struct StoredPhoto {
  std::string hash;           // SHA-256 of the file's bytes: names the object
  std::string ending;         // of the object: jpg, png or bmp, by its bytes
  std::string name;           // of the file that was added
  std::string split;          // train, valid or test
  int width = 0, height = 0;  // pixels, upright
  std::vector<LabelBox> boxes;
  std::vector<IgnoredRegion> ignored = {};
  NearHash near;       // of the data set's photos
  std::string source;  // of a version's photos: hash of the photo that this one was prepared from
};

// One `rook data add` (or `remove`).
struct StoreChange {
  std::string date;                    // UTC, 2026-01-31T12:00:00Z
  std::string action;                  // add or remove
  std::string folder;                  // that was added
  std::vector<std::string> merge;      // FROM=TO
  std::int64_t photos = 0, boxes = 0;  // added or removed
  std::int64_t equal = 0, near = 0;    // not added: there already, or nearly
  std::int64_t relabelled = 0;
};

// The data set as it is now.
struct StoredSet {
  std::string name;
  std::vector<std::string> classes;
  std::vector<StoreChange> changes;
  std::vector<StoredPhoto> photos;
};

// How a version's photos were prepared.
struct Preparation {
  std::string fit = "none";         // none (as they were added), stretch or letterbox
  std::string resampling = "none";  // or area, half-pixel, align-corners
  int width = 0, height = 0;        // 0: each photo its own
  bool operator==(const Preparation&) const = default;
};
std::string to_text(const Preparation& preparation);  // "stretch to 416x416, area"

// The data set as it was when the version was made.
struct StoredVersion {
  std::string name;  // of the data set
  int number = 0;
  std::string date;
  Preparation preparation;
  std::vector<std::string> classes;
  std::vector<StoredPhoto> photos;
};

inline constexpr const char* kManifestFile = "rook-data.json";

std::string to_manifest(const StoredSet& set);
std::string to_manifest(const StoredVersion& version);
// Strict: throws Error naming `file` for whatever rook would not have written.
StoredSet parse_set(std::string_view text, const std::string& file);
StoredVersion parse_version(std::string_view text, const std::string& file);
// Whether the text says that it is the manifest of a version.
bool is_version_manifest(std::string_view text);

// Photos and boxes of train, valid, test.
struct SplitCount {
  std::string split;
  std::int64_t photos = 0, boxes = 0;
};
std::vector<SplitCount> count_splits(const std::vector<StoredPhoto>& photos);
std::vector<std::int64_t> count_classes(const std::vector<StoredPhoto>& photos, std::size_t classes);

// A name that can be a folder and cannot be a path: letters, digits, '.', '_', '-', the first a letter or digit.
void check_set_name(const std::string& name);

}  // namespace rook::io
