// Versions: a data set as it was at one moment, its photos prepared for training.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/image.h"
#include "io/store.h"

namespace rook::io {

// Makes the picture that is trained on, and moves the boxes and regions of `labels` with what it does to the photo.
using PreparePhoto = std::function<Image(const Image& photo, StoredPhoto& labels)>;

// Makes the next version. `prepare` does what `preparation` says; with fit "none" the photos are taken as they are.
// Prepared pictures are PNG: what is trained on is what was prepared, to the bit. Throws Error: no photos, a photo of
// the store is damaged, the store in use.
StoredVersion make_version(const Store& store, const std::string& name, const Preparation& preparation,
                           const PreparePhoto& prepare, const std::function<void(int done, int all)>& progress = {});

// What changed from one list of photos to another, by the photos that were added: preparing is no change.
struct PhotoChange {
  std::string split, name, before;  // `before`: the split it came from, empty when it has not moved
};
struct VersionDiff {
  std::vector<PhotoChange> added, removed, relabelled, moved;
  struct ClassCount {
    std::string name;
    std::int64_t before = 0, after = 0;  // boxes
  };
  std::vector<ClassCount> classes;
};
// `a` and `b` are versions, or data sets as they are now (number 0).
VersionDiff diff_versions(const StoredVersion& a, const StoredVersion& b);
// The data set as it is now, as a version that was not made.
StoredVersion as_version(const StoredSet& set);

}  // namespace rook::io
