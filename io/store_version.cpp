#include "io/store_version.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/content_hash.h"
#include "io/dataset_internal.h"

namespace rook::io {

namespace {

// The picture goes to the store at once: of many large photos only a few are in memory.
StoredPhoto prepared(const Store& store, const StoredPhoto& photo, const PreparePhoto& prepare) {
  const std::filesystem::path file = store.object(photo);
  StoredPhoto result = photo;
  result.source = photo.hash;
  if (!prepare) return result;
  const Image picture = prepare(read_image(file), result);
  const std::vector<std::uint8_t> bytes = encode_png(picture);
  result.hash = content_hash(std::as_bytes(std::span(bytes)));
  result.ending = "png";
  result.width = picture.width;
  result.height = picture.height;
  store.put(result, std::as_bytes(std::span(bytes)));
  return result;
}

}  // namespace

StoredVersion as_version(const StoredSet& set) {
  StoredVersion version{.name = set.name, .classes = set.classes, .photos = set.photos};
  for (StoredPhoto& photo : version.photos) photo.source = photo.hash;
  return version;
}

StoredVersion make_version(const Store& store, const std::string& name, const Preparation& preparation,
                           const PreparePhoto& prepare, const std::function<void(int, int)>& progress) {
  store.read_set(name);  // no lock file where there is no store
  const StoreLock lock(store);
  const StoredSet set = store.read_set(name);
  if (set.photos.empty())
    throw Error(fmt::format("{}: has no photos yet; add some: rook data add {} FOLDER", name, name));
  StoredVersion version = as_version(set);
  const std::vector<int> known = store.versions(name);
  version.number = known.empty() ? 1 : known.back() + 1;
  version.preparation = preparation;
  int done = 0;
  const PreparePhoto chosen = preparation.fit == "none" ? PreparePhoto() : prepare;
  detail::parallel_for(set.photos.size(), [&](std::size_t i) {
    version.photos[i] = prepared(store, set.photos[i], chosen);
#pragma omp critical(rook_store_version_progress)
    if (progress) progress(++done, static_cast<int>(set.photos.size()));
  });
  version.date = date_now();
  store.write(version);
  return version;
}

}  // namespace rook::io
