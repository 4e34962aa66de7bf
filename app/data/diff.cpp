// rook data diff: what changed from one version of a data set to another.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "app/data/data.h"
#include "base/error.h"
#include "io/store_version.h"

namespace rook::app {
namespace {

using nlohmann::json;

struct DataDiffFlags {
  StoreOptions store;
  std::string a, b, json;
  int most = 20;
};

// "chess/v1", "chess" (as it is now), or of the second "v3": of the first one's data set.
io::StoredVersion read(const io::Store& store, const std::string& text, const std::string& set) {
  const bool number_only = !set.empty() && text.size() > 1 && text[0] == 'v' &&
                           text.find_first_not_of("0123456789", 1) == std::string::npos && text[1] != '0';
  const io::StoredName name = io::parse_stored_name(number_only ? set + "/" + text : text);
  return name.version == 0 ? io::as_version(store.read_set(name.set)) : store.read_version(name.set, name.version);
}

std::string title(const io::StoredVersion& version) {
  return version.number > 0 ? fmt::format("{}/v{}", version.name, version.number) : version.name + " as it is now";
}

void print_photos(const char* what, const std::vector<io::PhotoChange>& photos, int most) {
  fmt::print("{} photos {}\n", photos.size(), what);
  int shown = 0;
  for (const io::PhotoChange& photo : photos) {
    if (most > 0 && shown++ == most) {
      fmt::print("  ... and {} more (--list 0 lists all)\n", static_cast<int>(photos.size()) - most);
      return;
    }
    fmt::print("  {}{}: {}\n", photo.before.empty() ? "" : photo.before + " -> ", photo.split, photo.name);
  }
}

json to_json(const std::vector<io::PhotoChange>& photos) {
  json list = json::array();
  for (const io::PhotoChange& photo : photos) {
    list.push_back({{"split", photo.split}, {"name", photo.name}});
    if (!photo.before.empty()) list.back()["from"] = photo.before;
  }
  return list;
}

json to_json(const io::VersionDiff& diff, const io::StoredVersion& a, const io::StoredVersion& b) {
  json classes = json::object();
  for (const auto& count : diff.classes) classes[count.name] = {{"before", count.before}, {"after", count.after}};
  return {{"a", title(a)},
          {"b", title(b)},
          {"added", to_json(diff.added)},
          {"removed", to_json(diff.removed)},
          {"relabelled", to_json(diff.relabelled)},
          {"moved", to_json(diff.moved)},
          {"boxes", classes}};
}

void print_classes(const io::VersionDiff& diff) {
  std::size_t width = std::string("boxes of class").size();
  for (const auto& count : diff.classes) width = std::max(width, count.name.size());
  fmt::print("\n  {:<{}}  {:>8}  {:>8}  {:>8}\n", "boxes of class", width, "before", "after", "change");
  io::VersionDiff::ClassCount all{"all"};
  const auto line = [width](const io::VersionDiff::ClassCount& count) {
    fmt::print("  {:<{}}  {:>8}  {:>8}  {:>+8}\n", count.name, width, count.before, count.after,
               count.after - count.before);
  };
  for (const auto& count : diff.classes) {
    line(count);
    all.before += count.before;
    all.after += count.after;
  }
  line(all);
}

void run(const DataDiffFlags& o) {
  const io::Store store = o.store.store();
  const io::StoredVersion a = read(store, o.a, ""), b = read(store, o.b, a.name);
  const io::VersionDiff diff = io::diff_versions(a, b);
  if (!o.json.empty()) write_json(o.json, to_json(diff, a, b));
  if (o.json == "-") return;
  fmt::print("{} ({} photos; {}) -> {} ({} photos; {})\n", title(a), a.photos.size(), io::to_text(a.preparation),
             title(b), b.photos.size(), io::to_text(b.preparation));
  print_photos("added", diff.added, o.most);
  print_photos("removed", diff.removed, o.most);
  print_photos("relabelled", diff.relabelled, o.most);
  if (!diff.moved.empty()) print_photos("moved to another split", diff.moved, o.most);
  print_classes(diff);
}

}  // namespace

void add_data_diff(CLI::App& data) {
  auto o = std::make_shared<DataDiffFlags>();
  CLI::App* c =
      data.add_subcommand("diff", "photos added, removed and relabelled between two versions, boxes by class");
  c->add_option("a", o->a, "a version, like chess/v1, or a data set as it is now")->required();
  c->add_option("b", o->b, "another one; v3 is that of the same data set")->required();
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->add_option("--list", o->most, "how many photos of each kind to list (0: all)")->capture_default_str();
  o->store.add(*c);
  c->footer("Example:\n  rook data diff chess/v1 v3");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
