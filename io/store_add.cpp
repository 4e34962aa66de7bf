#include "io/store_add.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "io/cfg.h"
#include "io/content_hash.h"
#include "io/dataset_internal.h"
#include "io/file_reader.h"
#include "io/picture_file.h"

namespace rook::io {

namespace fs = std::filesystem;

namespace {

std::vector<std::byte> read_bytes(const fs::path& file) {
  FileReader reader(file);
  std::vector<std::byte> bytes(reader.size());
  reader.read(bytes);
  return bytes;
}

const char* ending_of(PictureFormat format) {
  return format == PictureFormat::jpeg ? "jpg" : format == PictureFormat::png ? "png" : "bmp";
}

// Whether the folder says itself which photos are for what. Photos that are all `train` are as good as not split,
// unless the folder itself is called so: that is what readers say of photos of which they know nothing.
bool has_own_splits(const Dataset& dataset) {
  const bool known = std::all_of(dataset.splits.begin(), dataset.splits.end(), [](const Split& split) {
    return split.name == "train" || split.name == "valid" || split.name == "test";
  });
  if (!known) return false;
  if (dataset.splits.size() > 1 || dataset.splits[0].name != "train") return true;
  const fs::path root = fs::is_directory(dataset.root) ? dataset.root : fs::absolute(dataset.root).parent_path();
  return detail::split_name(fs::canonical(root).filename().string()).has_value();
}

bool same_labels(const StoredPhoto& a, const StoredPhoto& b) {
  const auto same_box = [](const LabelBox& x, const LabelBox& y) {
    return x.cls == y.cls && x.x == y.x && x.y == y.y && x.w == y.w && x.h == y.h;
  };
  return std::equal(a.boxes.begin(), a.boxes.end(), b.boxes.begin(), b.boxes.end(), same_box) && a.ignored == b.ignored;
}

// One `rook data add`.
class Addition {
 public:
  Addition(const Store& store, const std::string& name, const fs::path& folder, const AddOptions& options)
      : store_(store), options_(options), set_(store.read_set(name)), folder_(folder) {}

  AddReport run();

 private:
  struct Candidate {
    fs::path file;
    StoredPhoto photo;
    Thumbnail thumbnail;
  };

  void read_folder();
  void read_photos();
  Candidate look(const LabelledImage& image, const std::string& split) const;
  std::string split_for(const std::string& hash, const std::string& own) const;
  void take_classes();
  void read_thumbnails();
  StoredPhoto* nearest_to(const Candidate& candidate, int& bits);
  void sort_out(Candidate& candidate);
  void take_existing(const Candidate& candidate, StoredPhoto& there, int bits);
  void commit();

  const Store& store_;
  const AddOptions& options_;
  StoredSet set_;
  fs::path folder_;
  Dataset dataset_;
  std::vector<Candidate> candidates_, fresh_;
  std::map<std::string, std::size_t> by_hash_;  // of set_.photos
  std::vector<Thumbnail> thumbnails_;           // of set_.photos; of those that no candidate resembles: empty
  AddReport report_;
};

AddReport Addition::run() {
  read_folder();
  read_photos();
  std::stable_partition(report_.faults.begin(), report_.faults.end(), [](const Fault& fault) { return fault.fatal; });
  const bool fatal = !report_.faults.empty() && report_.faults.front().fatal;
  report_.refused = fatal && !options_.skip_faulty;
  if (report_.refused) return std::move(report_);
  take_classes();
  for (std::size_t i = 0; i < set_.photos.size(); ++i) by_hash_.emplace(set_.photos[i].hash, i);
  read_thumbnails();
  for (Candidate& candidate : candidates_) sort_out(candidate);
  commit();
  return std::move(report_);
}

void Addition::read_folder() {
  DatasetOptions reading = options_.reading;
  reading.regions_use_classes = true;
  dataset_ = read_dataset(folder_, reading);
  report_.faults = std::move(dataset_.faults);
  report_.own_splits = options_.split.empty() && has_own_splits(dataset_);
  if (options_.only.empty()) return;
  for (Split& split : dataset_.splits)
    if (split.name == "train") return keep_only(split, options_.only);
  throw Error(
      fmt::format("{}: has no train split, of which {} could name photos", folder_.string(), options_.only.string()));
}

std::string Addition::split_for(const std::string& hash, const std::string& own) const {
  if (report_.own_splits) return own;
  if (!options_.split.empty() && options_.split != "auto") return options_.split;
  const double share = share_of_hash(hash);
  return share < options_.shares[0] ? "train" : share < options_.shares[0] + options_.shares[1] ? "valid" : "test";
}

Addition::Candidate Addition::look(const LabelledImage& image, const std::string& split) const {
  const std::vector<std::byte> bytes = read_bytes(image.file);
  const std::span pixels(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  const Image picture = decode_image(pixels, image.file.string());
  StoredPhoto photo{.hash = content_hash(bytes),
                    .ending = ending_of(inspect_picture(pixels, image.file.string(), PictureCheck::header).format),
                    .name = image.name,
                    .width = image.width,
                    .height = image.height,
                    .boxes = image.boxes,
                    .ignored = image.ignored,
                    .near = near_hash(picture)};
  photo.split = split_for(photo.hash, split);
  return {image.file, std::move(photo), thumbnail(picture)};
}

// Decodes every photo: a file that was cut off has a size and a first half.
void Addition::read_photos() {
  std::vector<std::pair<const LabelledImage*, const Split*>> images;
  for (const Split& split : dataset_.splits)
    for (const LabelledImage& image : split.images) images.emplace_back(&image, &split);
  std::vector<Candidate> read(images.size());
  std::vector<Fault> broken(images.size());
  int done = 0;
  detail::parallel_for(images.size(), [&](std::size_t i) {
    const auto& [image, split] = images[i];
    try {
      read[i] = look(*image, split->name);
    } catch (const Error& error) {
      broken[i] = {Fault::Kind::unreadable_image, image->file, 0, error.what(), true};
    }
#pragma omp critical(rook_store_add_progress)
    if (options_.progress) options_.progress(++done, static_cast<int>(images.size()));
  });
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (broken[i].fatal)
      report_.faults.push_back(std::move(broken[i]));
    else
      candidates_.push_back(std::move(read[i]));
  }
}

// Numbers the classes as the data set has them. The first photos bring theirs; later ones that are new may be mistakes.
void Addition::take_classes() {
  const bool first = set_.classes.empty();
  std::vector<int> number;
  std::set<int> used;
  for (const Candidate& candidate : candidates_) {
    for (const LabelBox& box : candidate.photo.boxes) used.insert(box.cls);
    for (const IgnoredRegion& region : candidate.photo.ignored) used.insert(region.cls);
  }
  for (std::size_t c = 0; c < dataset_.classes.size(); ++c) {
    const std::string& name = dataset_.classes[c];
    const auto known = std::find(set_.classes.begin(), set_.classes.end(), name);
    number.push_back(static_cast<int>(known - set_.classes.begin()));
    const bool wanted = used.contains(static_cast<int>(c)) || (first && !options_.reading.drop_unused_classes);
    if (known != set_.classes.end() || !wanted) continue;
    if (!first && !options_.new_classes) {
      const auto close = did_you_mean(name, set_.classes);
      throw Error(fmt::format(
          "{}: class '{}' is not among the {} of {}{}; rename it (--merge {}=...) or take it as new (--new-classes)",
          folder_.string(), name, set_.classes.size(), set_.name,
          close ? fmt::format(", did you mean '{}'?", *close) : "", name));
    }
    if (!first) report_.new_classes.push_back(name);
    set_.classes.push_back(name);
  }
  for (Candidate& candidate : candidates_) {
    for (LabelBox& box : candidate.photo.boxes) box.cls = number[static_cast<std::size_t>(box.cls)];
    for (IgnoredRegion& region : candidate.photo.ignored) region.cls = number[static_cast<std::size_t>(region.cls)];
  }
}

void Addition::take_existing(const Candidate& candidate, StoredPhoto& there, int bits) {
  Duplicate duplicate{.file = candidate.file, .of = there.name, .distance = bits};
  ++(bits < 0 ? report_.change.equal : report_.change.near);
  const bool differ = !same_labels(candidate.photo, there);
  // Within one folder the first mention counts: relabelling is of photos that were there before.
  const bool before = by_hash_.at(there.hash) + fresh_.size() < set_.photos.size();
  duplicate.relabelled = differ && bits < 0 && options_.relabel && before;
  duplicate.other_labels = differ && !duplicate.relabelled;
  if (duplicate.relabelled) {
    there.boxes = candidate.photo.boxes;
    there.ignored = candidate.photo.ignored;
    ++report_.change.relabelled;
  }
  report_.duplicates.push_back(std::move(duplicate));
}

// Decodes the photos of the data set that one of the new ones may be a copy of.
void Addition::read_thumbnails() {
  thumbnails_.resize(set_.photos.size());
  detail::parallel_for(set_.photos.size(), [&](std::size_t i) {
    const StoredPhoto& photo = set_.photos[i];
    const bool resembled = std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& candidate) {
      return distance(photo.near, candidate.photo.near) <= options_.near_limit && photo.hash != candidate.photo.hash;
    });
    if (resembled) thumbnails_[i] = thumbnail(read_image(store_.object(photo)));
  });
}

// The photo of the data set that this one is a copy of, and how many bits of the hash differ; null: none.
StoredPhoto* Addition::nearest_to(const Candidate& candidate, int& bits) {
  StoredPhoto* nearest = nullptr;
  if (options_.near_limit < 0 || !has_structure(candidate.photo.near)) return nearest;
  float least = kThumbnailLimit;
  for (std::size_t i = 0; i < set_.photos.size(); ++i) {
    const int differ = distance(set_.photos[i].near, candidate.photo.near);
    if (differ > options_.near_limit) continue;
    const float apart = difference(thumbnails_[i], candidate.thumbnail);
    if (!(apart <= least)) continue;
    least = apart;
    bits = differ;
    nearest = &set_.photos[i];
  }
  return nearest;
}

// New, or there already?
void Addition::sort_out(Candidate& candidate) {
  if (const auto equal = by_hash_.find(candidate.photo.hash); equal != by_hash_.end())
    return take_existing(candidate, set_.photos[equal->second], -1);
  int bits = 0;
  if (StoredPhoto* copy = nearest_to(candidate, bits)) return take_existing(candidate, *copy, bits);
  by_hash_.emplace(candidate.photo.hash, set_.photos.size());
  set_.photos.push_back(candidate.photo);
  thumbnails_.push_back(candidate.thumbnail);
  fresh_.push_back(std::move(candidate));
}

// Objects first: a manifest never names what is not there.
void Addition::commit() {
  std::vector<StoredPhoto> added;
  for (const Candidate& candidate : fresh_) {
    const std::vector<std::byte> bytes = read_bytes(candidate.file);
    if (content_hash(bytes) != candidate.photo.hash)
      throw Error(fmt::format("{}: was changed while it was added; nothing was added", candidate.file.string()));
    store_.put(candidate.photo, bytes);
    added.push_back(candidate.photo);
  }
  report_.added = count_splits(added);
  report_.change.date = date_now();
  report_.change.action = "add";
  report_.change.folder = fs::absolute(folder_).lexically_normal().string();
  report_.change.merge = options_.merge;
  for (const SplitCount& count : report_.added) {
    report_.change.photos += count.photos;
    report_.change.boxes += count.boxes;
  }
  if (added.empty() && report_.change.relabelled == 0) return;  // nothing happened
  set_.changes.push_back(report_.change);
  store_.write(set_);
}

}  // namespace

AddReport add_photos(const Store& store, const std::string& name, const fs::path& folder, const AddOptions& options) {
  store.read_set(name);  // no lock file where there is no store
  const StoreLock lock(store);
  return Addition(store, name, folder, options).run();
}

StoreChange remove_photos(const Store& store, const std::string& name, const std::vector<std::string>& photos) {
  store.read_set(name);
  const StoreLock lock(store);
  StoredSet set = store.read_set(name);
  StoreChange change{.date = date_now(), .action = "remove"};
  for (const std::string& wanted : photos) {
    const auto fits = [&](const StoredPhoto& photo) { return photo.name == wanted || photo.hash == wanted; };
    const auto count = std::count_if(set.photos.begin(), set.photos.end(), fits);
    if (count != 1)
      throw Error(fmt::format("{}: {} photos are called '{}'{}", name, count == 0 ? "no" : std::to_string(count),
                              wanted, count == 0 ? "" : ": name the one by its SHA-256 (rook data show --json -)"));
    const auto photo = std::find_if(set.photos.begin(), set.photos.end(), fits);
    ++change.photos;
    change.boxes += static_cast<std::int64_t>(photo->boxes.size());
    set.photos.erase(photo);
  }
  set.changes.push_back(change);
  store.write(set);
  return change;
}

}  // namespace rook::io
