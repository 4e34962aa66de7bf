#include "io/store_manifest.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "io/content_hash.h"
#include "io/sealed_json.h"

namespace rook::io {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// Of the manifest; another one is another layout. 2: photos have ignored regions; what has none is written as 1, which
// older rooks read.
constexpr int kFormat = 2;
constexpr const char *kSet = "data set", *kVersion = "version";
constexpr std::int64_t kMostPixels = 1 << 24;          // a side
constexpr std::int64_t kMost = std::int64_t{1} << 53;  // what every reader of JSON can hold

const std::vector<std::string> kSplits = {"train", "valid", "test"};

bool one_of(const std::string& text, const std::vector<std::string>& choice) {
  return std::find(choice.begin(), choice.end(), text) != choice.end();
}

// Nine digits are a float to the last bit, and short.
double short_double(float value) {
  return std::strtod(fmt::format("{:.9g}", value).c_str(), nullptr);
}

ordered_json to_json(const StoredPhoto& photo) {
  ordered_json boxes = ordered_json::array();
  for (const LabelBox& box : photo.boxes)
    boxes.push_back({box.cls, short_double(box.x), short_double(box.y), short_double(box.w), short_double(box.h)});
  ordered_json result = {{"sha256", photo.hash}, {"ending", photo.ending}, {"name", photo.name},
                         {"split", photo.split}, {"width", photo.width},   {"height", photo.height}};
  if (photo.source.empty())
    result["near"] = to_text(photo.near);
  else
    result["source"] = photo.source;
  result["boxes"] = std::move(boxes);
  for (const IgnoredRegion& region : photo.ignored)
    result["ignored"].push_back({region.cls, short_double(region.x), short_double(region.y), short_double(region.w),
                                 short_double(region.h), region.crowd});
  return result;
}

ordered_json to_json(const StoreChange& change) {
  return {{"date", change.date},   {"action", change.action}, {"folder", change.folder},
          {"merge", change.merge}, {"photos", change.photos}, {"boxes", change.boxes},
          {"equal", change.equal}, {"near", change.near},     {"relabelled", change.relabelled}};
}

ordered_json to_json(const std::vector<StoredPhoto>& photos) {
  ordered_json list = ordered_json::array();
  for (const StoredPhoto& photo : photos) list.push_back(to_json(photo));
  return list;
}

void check_date(const JsonFields& fields, const std::string& date) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00Z";
  bool fits = date.size() == kForm.size();
  for (std::size_t i = 0; fits && i < kForm.size(); ++i)
    fits = kForm[i] == '0' ? std::isdigit(static_cast<unsigned char>(date[i])) != 0 : date[i] == kForm[i];
  if (!fits) fields.fail("\"date\" is not written like 2026-01-31T12:00:00Z");
}

bool is_box(const json& values, std::size_t count) {
  return values.is_array() && values.size() == count && values[0].is_number_integer() &&
         std::all_of(values.begin(), values.begin() + 5, [](const json& value) { return value.is_number(); });
}

// LabelBox or IgnoredRegion, of the first five values.
template <class Box>
Box parse_place(const json& values, const JsonFields& photo, std::size_t classes) {
  constexpr double kSlack = 1e-5;
  if (values[0] < 0 || values[0] >= classes) photo.fail("a box has a class that there is not");
  const Box box{values[1].get<float>(), values[2].get<float>(), values[3].get<float>(), values[4].get<float>(),
                values[0].get<int>()};
  const bool inside = box.w > 0 && box.h > 0 && box.x - box.w / 2 >= -kSlack && box.x + box.w / 2 <= 1 + kSlack &&
                      box.y - box.h / 2 >= -kSlack && box.y + box.h / 2 <= 1 + kSlack;
  if (!inside) photo.fail("a box has no area, or lies outside the photo");
  return box;
}

LabelBox parse_box(const json& values, const JsonFields& photo, std::size_t classes) {
  if (!is_box(values, 5)) photo.fail("a box is not [class, x, y, w, h]");
  return parse_place<LabelBox>(values, photo, classes);
}

IgnoredRegion parse_region(const json& values, const JsonFields& photo, std::size_t classes) {
  if (!is_box(values, 6) || !values[5].is_boolean())
    photo.fail("an ignored region is not [class, x, y, w, h, whether it is a crowd]");
  IgnoredRegion region = parse_place<IgnoredRegion>(values, photo, classes);
  region.crowd = values[5].get<bool>();
  return region;
}

// `origin`: "near" for a data set's photos, "source" for a version's.
StoredPhoto parse_photo(const json& entry, const std::string& where, std::size_t classes, const char* origin) {
  const JsonFields fields(entry, where, {"sha256", "ending", "name", "split", "width", "height", origin, "boxes"},
                          {"ignored"});
  StoredPhoto photo{.hash = fields.text("sha256"),
                    .ending = fields.text("ending"),
                    .name = fields.text("name"),
                    .split = fields.text("split"),
                    .width = static_cast<int>(fields.integer("width", 1, kMostPixels)),
                    .height = static_cast<int>(fields.integer("height", 1, kMostPixels))};
  if (!is_content_hash(photo.hash)) fields.fail("\"sha256\" is not 64 hexadecimal digits");
  if (!one_of(photo.ending, {"jpg", "png", "bmp"})) fields.fail("\"ending\" is not jpg, png or bmp");
  // A name is never a path: it becomes a file when the data set is exported.
  if (photo.name.empty() || photo.name == "." || photo.name == ".." ||
      photo.name.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
    fields.fail("\"name\" is no file name");
  if (!one_of(photo.split, kSplits)) fields.fail("\"split\" is not train, valid or test");
  if (origin == std::string("near")) {
    const auto near = near_hash_from_text(fields.text("near"));
    if (!near) fields.fail("\"near\" is no near-duplicate hash");
    photo.near = *near;
  } else {
    photo.source = fields.text("source");
    if (!is_content_hash(photo.source)) fields.fail("\"source\" is not 64 hexadecimal digits");
  }
  for (const json& box : fields.list("boxes")) photo.boxes.push_back(parse_box(box, fields, classes));
  if (fields.has("ignored"))
    for (const json& region : fields.list("ignored")) photo.ignored.push_back(parse_region(region, fields, classes));
  return photo;
}

std::vector<StoredPhoto> parse_photos(const JsonFields& fields, const std::string& file, std::size_t classes,
                                      const char* origin) {
  std::vector<StoredPhoto> photos;
  std::set<std::string> hashes;
  for (const json& entry : fields.list("photos")) {
    photos.push_back(parse_photo(entry, fmt::format("{}: photo {}", file, photos.size() + 1), classes, origin));
    const StoredPhoto& photo = photos.back();
    if (!hashes.insert(photo.source.empty() ? photo.hash : photo.source).second)
      fields.fail(fmt::format("the photo {} stands twice", photo.name));
  }
  return photos;
}

std::vector<std::string> parse_texts(const JsonFields& fields, const char* key) {
  std::vector<std::string> texts;
  for (const json& entry : fields.list(key)) {
    if (!entry.is_string() || entry.get<std::string>().empty())
      fields.fail(fmt::format("\"{}\" holds something that is no text, or empty", key));
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

std::vector<std::string> parse_classes(const JsonFields& fields) {
  std::vector<std::string> classes = parse_texts(fields, "classes");
  if (std::set<std::string>(classes.begin(), classes.end()).size() != classes.size())
    fields.fail("a class stands twice");
  return classes;
}

StoreChange parse_change(const json& entry, const std::string& file) {
  const JsonFields fields(entry, file + ": change",
                          {"date", "action", "folder", "merge", "photos", "boxes", "equal", "near", "relabelled"});
  StoreChange change{.date = fields.text("date"),
                     .action = fields.text("action"),
                     .folder = fields.text("folder"),
                     .merge = parse_texts(fields, "merge"),
                     .photos = fields.integer("photos", 0, kMost),
                     .boxes = fields.integer("boxes", 0, kMost),
                     .equal = fields.integer("equal", 0, kMost),
                     .near = fields.integer("near", 0, kMost),
                     .relabelled = fields.integer("relabelled", 0, kMost)};
  check_date(fields, change.date);
  if (!one_of(change.action, {"add", "remove"})) fields.fail("\"action\" is not add or remove");
  return change;
}

// The head that every manifest has; `kind` is what "rook" must say.
void check_head(const JsonFields& fields, const char* kind) {
  if (fields.text("rook") != kind)
    fields.fail(fmt::format("is the manifest of a {}, not of a {}", fields.text("rook"), kind));
  const std::int64_t format = fields.integer("format", 1, kMost);
  if (format > kFormat)
    fields.fail(fmt::format("has format {}, and this rook reads formats up to {}: take a newer rook", format, kFormat));
}

std::string parse_name(const JsonFields& fields) {
  try {
    check_set_name(fields.text("name"));
  } catch (const Error& error) {
    fields.fail(error.what());
  }
  return fields.text("name");
}

int format_of(const std::vector<StoredPhoto>& photos) {
  const bool regions =
      std::any_of(photos.begin(), photos.end(), [](const auto& photo) { return !photo.ignored.empty(); });
  return regions ? kFormat : 1;
}

ordered_json counts_json(const std::vector<StoredPhoto>& photos, const std::vector<std::string>& classes) {
  ordered_json splits = ordered_json::object(), boxes = ordered_json::object();
  for (const SplitCount& count : count_splits(photos))
    splits[count.split] = {{"photos", count.photos}, {"boxes", count.boxes}};
  const std::vector<std::int64_t> of_class = count_classes(photos, classes.size());
  for (std::size_t c = 0; c < classes.size(); ++c) boxes[classes[c]] = of_class[c];
  return {{"splits", splits}, {"boxes", boxes}};
}

Preparation parse_preparation(const JsonFields& version, const std::string& file) {
  const JsonFields fields(version.object("preparation"), file + ": \"preparation\"",
                          {"fit", "resampling", "width", "height"});
  const Preparation result{.fit = fields.text("fit"),
                           .resampling = fields.text("resampling"),
                           .width = static_cast<int>(fields.integer("width", 0, kMostPixels)),
                           .height = static_cast<int>(fields.integer("height", 0, kMostPixels))};
  const bool none = result == Preparation{};
  const bool resized = one_of(result.fit, {"stretch", "letterbox"}) &&
                       one_of(result.resampling, {"area", "half-pixel", "align-corners"}) && result.width > 0 &&
                       result.height > 0;
  if (!none && !resized) version.fail("\"preparation\" is none that there is");
  return result;
}

}  // namespace

std::string to_text(const Preparation& p) {
  if (p.fit == "none") return "photos as they were added";
  return fmt::format("{} to {}x{}, {}", p.fit, p.width, p.height, p.resampling);
}

void check_set_name(const std::string& name) {
  const auto fits = [](unsigned char c) { return c < 128 && (std::isalnum(c) || c == '.' || c == '_' || c == '-'); };
  if (name.empty() || name.size() > 100 || !std::isalnum(static_cast<unsigned char>(name.front())) ||
      !std::all_of(name.begin(), name.end(), fits) || name == "objects")
    throw Error(fmt::format("'{}' is no name for a data set: take letters, digits, '.', '_' and '-'", name));
}

std::vector<SplitCount> count_splits(const std::vector<StoredPhoto>& photos) {
  std::vector<SplitCount> counts;
  for (const std::string& split : kSplits) {
    SplitCount count{.split = split};
    for (const StoredPhoto& photo : photos)
      if (photo.split == split) {
        ++count.photos;
        count.boxes += static_cast<std::int64_t>(photo.boxes.size());
      }
    counts.push_back(count);
  }
  return counts;
}

std::vector<std::int64_t> count_classes(const std::vector<StoredPhoto>& photos, std::size_t classes) {
  std::vector<std::int64_t> counts(classes);
  for (const StoredPhoto& photo : photos)
    for (const LabelBox& box : photo.boxes) ++counts.at(static_cast<std::size_t>(box.cls));
  return counts;
}

std::string to_manifest(const StoredSet& set) {
  ordered_json changes = ordered_json::array();
  for (const StoreChange& change : set.changes) changes.push_back(to_json(change));
  return seal_json({{"rook", kSet},
                    {"format", format_of(set.photos)},
                    {"name", set.name},
                    {"classes", set.classes},
                    {"changes", std::move(changes)},
                    {"photos", to_json(set.photos)}},
                   set.name);
}

std::string to_manifest(const StoredVersion& version) {
  return seal_json({{"rook", kVersion},
                    {"format", format_of(version.photos)},
                    {"name", version.name},
                    {"version", version.number},
                    {"date", version.date},
                    {"preparation",
                     {{"fit", version.preparation.fit},
                      {"resampling", version.preparation.resampling},
                      {"width", version.preparation.width},
                      {"height", version.preparation.height}}},
                    {"classes", version.classes},
                    {"counts", counts_json(version.photos, version.classes)},
                    {"photos", to_json(version.photos)}},
                   version.name);
}

StoredSet parse_set(std::string_view text, const std::string& file) {
  const json root = unseal_json(text, file);
  const JsonFields fields(root, file, {"rook", "format", "name", "classes", "changes", "photos"});
  check_head(fields, kSet);
  StoredSet set{.name = parse_name(fields), .classes = parse_classes(fields)};
  for (const json& entry : fields.list("changes")) set.changes.push_back(parse_change(entry, file));
  set.photos = parse_photos(fields, file, set.classes.size(), "near");
  return set;
}

StoredVersion parse_version(std::string_view text, const std::string& file) {
  const json root = unseal_json(text, file);
  const JsonFields fields(root, file,
                          {"rook", "format", "name", "version", "date", "preparation", "classes", "counts", "photos"});
  check_head(fields, kVersion);
  StoredVersion version{.name = parse_name(fields),
                        .number = static_cast<int>(fields.integer("version", 1, 1'000'000)),
                        .date = fields.text("date"),
                        .preparation = parse_preparation(fields, file),
                        .classes = parse_classes(fields)};
  check_date(fields, version.date);
  version.photos = parse_photos(fields, file, version.classes.size(), "source");
  if (json(counts_json(version.photos, version.classes)) != fields.object("counts"))
    fields.fail("\"counts\" are not those of its photos");
  return version;
}

bool is_version_manifest(std::string_view text) {
  return text.starts_with(fmt::format("{{\n \"rook\": \"{}\"", kVersion));
}

}  // namespace rook::io
