// Data sets and versions of the store as every command takes them.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/content_hash.h"
#include "io/dataset_internal.h"
#include "io/store.h"

namespace rook::io {

namespace fs = std::filesystem;

namespace detail {
namespace {

// The line of the first photo: a manifest has one photo a line.
int first_photo_line(std::string_view text) {
  return line_at(text, text.find("\n \"photos\": [")) + 2;
}

void take_photos(const std::vector<StoredPhoto>& photos, const Store& store, const fs::path& manifest, int line,
                 RawDataset& raw) {
  std::size_t regions = 0;
  int first_region = 0;  // line
  for (const StoredPhoto& photo : photos) {
    if (regions == 0 && !photo.ignored.empty()) first_region = line;
    regions += photo.ignored.size();
    RawImage image{.file = store.object(photo),
                   .name = photo.name,
                   .labels = manifest,
                   .about = photo.name + ": ",
                   .width = photo.width,
                   .height = photo.height,
                   .line = line};
    for (const LabelBox& box : photo.boxes) image.boxes.push_back({box.x, box.y, box.w, box.h, box.cls, line});
    for (const IgnoredRegion& region : photo.ignored)
      image.ignored.push_back({region.x, region.y, region.w, region.h, region.cls, line, region.crowd});
    raw.split(photo.split).images.push_back(std::move(image));
    ++line;
  }
  if (regions > 0)
    raw.faults.push_back(
        {Fault::Kind::ignored_region, manifest, first_region,
         fmt::format("{} crowds and difficult objects are left out of training, and detections there out of "
                     "evaluation; the first here",
                     regions),
         false});
}

}  // namespace

RawDataset read_stored(const fs::path& folder) {
  const fs::path manifest = folder / kManifestFile, above = fs::canonical(folder).parent_path();
  const std::string text = read_text(manifest);
  RawDataset raw{.root = folder, .format = "rook"};
  if (is_version_manifest(text)) {
    const StoredVersion version = parse_version(text, manifest.string());
    raw.classes = version.classes;
    take_photos(version.photos, Store(above.parent_path()), manifest, first_photo_line(text), raw);
  } else {
    const StoredSet set = parse_set(text, manifest.string());
    if (set.photos.empty())
      throw Error(fmt::format("{}: has no photos yet; add some: rook data add {} FOLDER", folder.string(), set.name));
    raw.classes = set.classes;
    take_photos(set.photos, Store(above), manifest, first_photo_line(text), raw);
  }
  return raw;
}

}  // namespace detail

Preparation preparation_of(const fs::path& where) {
  const fs::path manifest = where.filename() == kManifestFile ? where : where / kManifestFile;
  if (!detail::is_file(manifest)) return {};
  const std::string text = detail::read_text(manifest);
  return is_version_manifest(text) ? parse_version(text, manifest.string()).preparation : Preparation{};
}

std::vector<std::string> verify(const Store& store) {
  std::vector<StoredPhoto> photos;
  for (const std::string& name : store.names()) {
    const StoredSet set = store.read_set(name);
    photos.insert(photos.end(), set.photos.begin(), set.photos.end());
    for (const int number : store.versions(name)) {
      const StoredVersion version = store.read_version(name, number);
      photos.insert(photos.end(), version.photos.begin(), version.photos.end());
    }
  }
  const auto by_object = [](const StoredPhoto& a, const StoredPhoto& b) { return a.hash < b.hash; };
  std::sort(photos.begin(), photos.end(), by_object);
  photos.erase(std::unique(photos.begin(), photos.end(),
                           [](const StoredPhoto& a, const StoredPhoto& b) { return a.hash == b.hash; }),
               photos.end());
  std::vector<std::string> found(photos.size()), faults;
  detail::parallel_for(photos.size(), [&](std::size_t i) {
    const fs::path file = store.object(photos[i]);
    if (!detail::is_file(file))
      found[i] = fmt::format("{}: is missing: the photo {}", file.string(), photos[i].name);
    else if (content_hash_of_file(file) != photos[i].hash)
      found[i] = fmt::format("{}: has other bytes than the photo {} had", file.string(), photos[i].name);
  });
  std::copy_if(found.begin(), found.end(), std::back_inserter(faults),
               [](const auto& fault) { return !fault.empty(); });
  return faults;
}

}  // namespace rook::io
