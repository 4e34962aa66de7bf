// rook data new, list, show, remove, verify: the data sets of the store.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <numeric>

#include "app/data/data.h"
#include "base/error.h"
#include "io/census.h"
#include "io/store_add.h"

namespace rook::app {
namespace {

using nlohmann::json;

struct DataSetsFlags {
  StoreOptions store;
  std::string name, json;
  std::vector<std::string> photos;
};

void make_new(const DataSetsFlags& o) {
  io::Store store = o.store.store();
  io::check_set_name(o.name);
  const io::StoreLock lock(store);
  store.create(o.name);
  fmt::print("{}: made; add photos: rook data add {} FOLDER\n", store.folder_of(o.name).string(), o.name);
}

struct Totals {
  std::int64_t photos = 0, boxes = 0;
};

Totals totals_of(const std::vector<io::StoredPhoto>& photos) {
  Totals totals;
  for (const io::SplitCount& count : io::count_splits(photos)) {
    totals.photos += count.photos;
    totals.boxes += count.boxes;
  }
  return totals;
}

void list(const DataSetsFlags& o) {
  const io::Store store = o.store.store();
  json sets = json::array();
  std::string text;
  for (const std::string& name : store.names()) {
    const io::StoredSet set = store.read_set(name);
    const Totals totals = totals_of(set.photos);
    const std::vector<int> versions = store.versions(name);
    sets.push_back({{"name", name},
                    {"photos", totals.photos},
                    {"boxes", totals.boxes},
                    {"classes", set.classes.size()},
                    {"versions", versions}});
    text +=
        fmt::format("{}: {} photos, {} boxes, {} classes; {}\n", name, totals.photos, totals.boxes, set.classes.size(),
                    versions.empty() ? "no versions" : fmt::format("v{}", fmt::join(versions, ", v")));
  }
  if (!o.json.empty()) write_json(o.json, sets);
  if (o.json == "-") return;
  fmt::print("{}", text.empty() ? fmt::format("{}: no data sets; make one: rook data new NAME\n", store.root().string())
                                : text);
}

// The census of `data check`, without its line about faults: what is in the store was checked when it was added.
io::Census census_of(const std::filesystem::path& folder) {
  io::DatasetOptions options;
  options.drop_unused_classes = false;
  return io::take_census(io::read_dataset(folder, options));
}

json to_json(const io::StoredVersion& version) {
  const Totals totals = totals_of(version.photos);
  return {{"version", version.number},
          {"date", version.date},
          {"preparation",
           {{"fit", version.preparation.fit},
            {"resampling", version.preparation.resampling},
            {"width", version.preparation.width},
            {"height", version.preparation.height}}},
          {"photos", totals.photos},
          {"boxes", totals.boxes}};
}

std::string to_line(const io::StoredVersion& version) {
  const Totals totals = totals_of(version.photos);
  return fmt::format("{}/v{}  {}  {} photos, {} boxes; {}\n", version.name, version.number, version.date, totals.photos,
                     totals.boxes, io::to_text(version.preparation));
}

void show_version(const io::Store& store, const io::StoredName& name, const DataSetsFlags& o) {
  const io::StoredVersion version = store.read_version(name.set, name.version);
  const io::Census census = census_of(store.folder_of(name.set, name.version));
  if (!o.json.empty()) {
    json result = to_json(version);
    result["name"] = version.name;
    result["census"] = io::to_json(census);
    write_json(o.json, result);
  }
  if (o.json != "-") fmt::print("{}\n{}", to_line(version), io::to_text(census));
}

std::string to_line(const io::StoreChange& change) {
  std::string text = fmt::format("{}  {} {} photos, {} boxes", change.date,
                                 change.action == "add" ? "added" : "removed", change.photos, change.boxes);
  if (!change.folder.empty()) text += fmt::format("  {}", change.folder);
  if (!change.merge.empty()) text += fmt::format("  merge {}", fmt::join(change.merge, ", "));
  if (change.equal > 0) text += fmt::format("; {} were there already", change.equal);
  if (change.near > 0) text += fmt::format("; {} looked the same as others", change.near);
  if (change.relabelled > 0) text += fmt::format("; {} relabelled", change.relabelled);
  return text + "\n";
}

json to_json(const io::StoreChange& change) {
  return {{"date", change.date},   {"action", change.action}, {"folder", change.folder},
          {"merge", change.merge}, {"photos", change.photos}, {"boxes", change.boxes},
          {"equal", change.equal}, {"near", change.near},     {"relabelled", change.relabelled}};
}

void show_set(const io::Store& store, const std::string& name, const DataSetsFlags& o) {
  const io::StoredSet set = store.read_set(name);
  json result = {{"name", name}, {"classes", set.classes}, {"changes", json::array()}, {"versions", json::array()}};
  std::string text;
  if (set.photos.empty()) {
    text = fmt::format("{}: no photos yet; add some: rook data add {} FOLDER\n", name, name);
  } else {
    const io::Census census = census_of(store.folder_of(name));
    result["census"] = io::to_json(census);
    text = io::to_text(census);
  }
  if (!set.changes.empty()) text += "\nhistory\n";
  for (const io::StoreChange& change : set.changes) {
    text += "  " + to_line(change);
    result["changes"].push_back(to_json(change));
  }
  const std::vector<int> versions = store.versions(name);
  if (!versions.empty()) text += "\nversions\n";
  for (const int number : versions) {
    const io::StoredVersion version = store.read_version(name, number);
    text += "  " + to_line(version);
    result["versions"].push_back(to_json(version));
  }
  if (!o.json.empty()) write_json(o.json, result);
  if (o.json != "-") fmt::print("{}", text);
}

void show(const DataSetsFlags& o) {
  const io::Store store = o.store.store();
  const io::StoredName name = io::parse_stored_name(o.name);
  if (name.version > 0)
    show_version(store, name, o);
  else
    show_set(store, name.set, o);
}

void remove(const DataSetsFlags& o) {
  const io::StoreChange change = io::remove_photos(o.store.store(), o.name, o.photos);
  fmt::print("{}: {} photos with {} boxes removed; versions keep them\n", o.name, change.photos, change.boxes);
}

void verify(const DataSetsFlags& o) {
  const io::Store store = o.store.store();
  const std::vector<std::string> faults = io::verify(store);
  for (const std::string& fault : faults) fmt::print("{}\n", fault);
  if (!faults.empty())
    throw Error(fmt::format("{}: {} photos are damaged or missing; restore them from a copy", store.root().string(),
                            faults.size()));
  fmt::print("{}: every photo of every data set and version is there, with the bytes it was added with\n",
             store.root().string());
}

CLI::App* subcommand(CLI::App& data, const std::shared_ptr<DataSetsFlags>& o, const char* name, const char* about,
                     void (*run)(const DataSetsFlags&)) {
  CLI::App* c = data.add_subcommand(name, about);
  o->store.add(*c);
  c->callback([o, run] { run(*o); });
  return c;
}

}  // namespace

void add_data_sets(CLI::App& data) {
  auto o = std::make_shared<DataSetsFlags>();
  CLI::App* c = subcommand(data, o, "new", "make an empty data set", make_new);
  c->add_option("name", o->name, "letters, digits, '.', '_' and '-'")->required();
  c->footer("Example:\n  rook data new chess");
  c = subcommand(data, o, "list", "the data sets there are, and their versions", list);
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->footer("Example:\n  rook data list");
  c = subcommand(data, o, "show", "what is in a data set or version, where it came from, its versions", show);
  c->add_option("name", o->name, "a data set, or a version like chess/v1")->required();
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->footer("Examples:\n  rook data show chess\n  rook data show chess/v1");
  c = subcommand(data, o, "remove", "take photos out of a data set; its versions keep them", remove);
  c->add_option("name", o->name, "the data set")->required();
  c->add_option("photos", o->photos, "names of photos, or their SHA-256")->required();
  c->footer("Example:\n  rook data remove chess IMG_0159.jpg");
  c = subcommand(data, o, "verify", "read every photo of the store and compare it with its SHA-256", verify);
  c->footer("Example:\n  rook data verify");
}

}  // namespace rook::app
