// What changed between two versions.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "io/store_version.h"

namespace rook::io {

namespace {

enum class LabelKind { box, difficult, crowd };
// Boxes and ignored regions by the names of their classes, in an order of their own: numbers and order may differ
// between versions.
using Labels = std::vector<std::tuple<std::string, LabelKind, float, float, float, float>>;

Labels labels_of(const StoredPhoto& photo, const std::vector<std::string>& classes) {
  Labels labels;
  const auto add = [&](const auto& box, LabelKind kind) {
    labels.emplace_back(classes.at(static_cast<std::size_t>(box.cls)), kind, box.x, box.y, box.w, box.h);
  };
  for (const LabelBox& box : photo.boxes) add(box, LabelKind::box);
  for (const IgnoredRegion& region : photo.ignored) add(region, region.crowd ? LabelKind::crowd : LabelKind::difficult);
  std::sort(labels.begin(), labels.end());
  return labels;
}

// Of differently prepared photos the boxes lie elsewhere: only how many of which class can be compared.
bool same_labels(const Labels& a, const Labels& b, bool same_place) {
  if (same_place) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return std::get<0>(x) == std::get<0>(y) && std::get<1>(x) == std::get<1>(y);
  });
}

// Whether relative boxes mean the same place on the photo: all fits but letterboxes keep them.
bool boxes_comparable(const Preparation& a, const Preparation& b) {
  return a == b || (a.fit != "letterbox" && b.fit != "letterbox");
}

}  // namespace

VersionDiff diff_versions(const StoredVersion& a, const StoredVersion& b) {
  VersionDiff diff;
  std::map<std::string, const StoredPhoto*> old;
  for (const StoredPhoto& photo : a.photos) old.emplace(photo.source, &photo);
  const bool same_place = boxes_comparable(a.preparation, b.preparation);
  for (const StoredPhoto& photo : b.photos) {
    const auto found = old.find(photo.source);
    if (found == old.end()) {
      diff.added.push_back({photo.split, photo.name, ""});
      continue;
    }
    const StoredPhoto& before = *found->second;
    if (before.split != photo.split) diff.moved.push_back({photo.split, photo.name, before.split});
    if (!same_labels(labels_of(before, a.classes), labels_of(photo, b.classes), same_place))
      diff.relabelled.push_back({photo.split, photo.name, ""});
    old.erase(found);
  }
  for (const StoredPhoto& photo : a.photos)
    if (old.contains(photo.source)) diff.removed.push_back({photo.split, photo.name, ""});

  std::vector<std::string> names = a.classes;
  for (const std::string& name : b.classes)
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  const auto count = [](const StoredVersion& version, const std::string& name) -> std::int64_t {
    const auto found = std::find(version.classes.begin(), version.classes.end(), name);
    if (found == version.classes.end()) return 0;
    return count_classes(version.photos,
                         version.classes.size())[static_cast<std::size_t>(found - version.classes.begin())];
  };
  for (const std::string& name : names) diff.classes.push_back({name, count(a, name), count(b, name)});
  return diff;
}

}  // namespace rook::io
