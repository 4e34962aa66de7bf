// rook data add: labelled photos into a data set of the store.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

#include "app/checks.h"
#include "app/counter.h"
#include "app/data/data.h"
#include "base/error.h"
#include "io/store_add.h"

namespace rook::app {
namespace {

struct DataAddFlags {
  StoreOptions store;
  DataOptions data;  // the folder and its --merge
  std::string name, split, only, shares = "70/20/10";
  int near_limit = io::kNearLimit, most = 20;
  bool new_classes = false, relabel = false, skip_faulty = false;
};

// "70/20/10" -> shares of train, valid, test
std::array<double, 3> shares_of(const std::string& text) {
  std::array<double, 3> shares{};
  char rest = 0;
  const bool read = std::sscanf(text.c_str(), "%lf/%lf/%lf%c", &shares[0], &shares[1], &shares[2], &rest) == 3 &&
                    std::all_of(shares.begin(), shares.end(), [](double share) { return share >= 0 && share <= 1e6; });
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (!read || !(sum > 0)) throw Error(fmt::format("--shares {}: write TRAIN/VALID/TEST, like 70/20/10", text));
  for (double& share : shares) share /= sum;
  return shares;
}

// The first `most` of what there is to say, and how much more there is.
template <class Items, class Say>
void list_some(const Items& items, int most, const char* what, const Say& say) {
  int shown = 0;
  for (const auto& item : items) {
    if (most > 0 && shown == most) {
      fmt::print("... and {} more {} (--list 0 lists all)\n", static_cast<int>(items.size()) - most, what);
      return;
    }
    say(item);
    ++shown;
  }
}

void print_faults(const io::AddReport& report, int most) {
  list_some(report.faults, most, "faults", [](const io::Fault& fault) {
    fmt::print("{}:{}: {}: {}{}\n", fault.file.string(), fault.line, name_of(fault.kind), fault.message,
               fault.fatal ? "" : " (a warning)");
  });
}

void print_duplicates(const io::AddReport& report, int most) {
  list_some(report.duplicates, most, "photos that are there already", [](const io::Duplicate& duplicate) {
    const std::string how = duplicate.distance < 0 ? fmt::format("is there already, as {}", duplicate.of)
                                                   : fmt::format("looks the same as {} ({} of {} bits differ)",
                                                                 duplicate.of, duplicate.distance, io::NearHash::kBits);
    fmt::print("{}: {}: {}\n", duplicate.file.string(), how,
               duplicate.relabelled     ? "its labels were taken"
               : duplicate.other_labels ? "not added, and its labels differ: the old ones are kept"
                                        : "not added");
  });
}

void print_result(const io::AddReport& report, const DataAddFlags& o) {
  print_duplicates(report, o.most);
  for (const std::string& name : report.new_classes) fmt::print("new class: {}\n", name);
  const io::StoreChange& change = report.change;
  const auto other = std::count_if(report.duplicates.begin(), report.duplicates.end(),
                                   [](const io::Duplicate& duplicate) { return duplicate.other_labels; });
  if (other > 0)
    fmt::print("{} photos are there with other labels; --relabel takes the new ones of equal photos\n", other);
  std::string text = fmt::format("{}: {} photos with {} boxes added", o.name, change.photos, change.boxes);
  if (change.photos > 0) {
    std::string parts;
    for (const io::SplitCount& count : report.added)
      if (count.photos > 0) parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", count.split, count.photos);
    text += fmt::format(" ({}; {})", parts,
                        report.own_splits                      ? "the folder's own splits"
                        : o.split.empty() || o.split == "auto" ? "split by content"
                                                               : "as asked for");
  }
  if (change.equal > 0) text += fmt::format("; {} were there already", change.equal);
  if (change.near > 0) text += fmt::format("; {} look the same as others", change.near);
  if (change.relabelled > 0) text += fmt::format("; {} relabelled", change.relabelled);
  fmt::print("{}\n", text);
}

void add(const DataAddFlags& o) {
  const io::Store store = o.store.store();
  std::optional<Counter> counter;
  io::AddOptions options{.split = o.split,
                         .shares = shares_of(o.shares),
                         .only = o.only,
                         .reading = o.data.options(),
                         .merge = o.data.merge,
                         .near_limit = o.near_limit,
                         .new_classes = o.new_classes,
                         .relabel = o.relabel,
                         .skip_faulty = o.skip_faulty,
                         .progress = [&](int done, int all) {
                           if (!counter) counter.emplace("photos read", all, true);
                           counter->show(done);
                         }};
  const io::AddReport report = io::add_photos(store, o.name, o.data.data, options);
  counter.reset();
  print_faults(report, o.most);
  if (report.refused) {
    const auto fatal =
        std::count_if(report.faults.begin(), report.faults.end(), [](const io::Fault& fault) { return fault.fatal; });
    throw Error(
        fmt::format("{}: nothing was added to {}: {} faults to mend first (--skip-faulty leaves out what is faulty)",
                    o.data.data, o.name, fatal));
  }
  print_result(report, o);
}

}  // namespace

void add_data_add(CLI::App& data) {
  auto o = std::make_shared<DataAddFlags>();
  CLI::App* c =
      data.add_subcommand("add", "add labelled photos to a data set: all of them, or none when one is faulty");
  c->add_option("name", o->name, "the data set")->required();
  c->add_option("folder", o->data.data, "folder or file of labelled photos: COCO JSON, YOLO, darknet, Pascal VOC")
      ->required();
  c->add_option("--split", o->split,
                "train, valid or test for all of them; auto: each photo by its content, in the shares of --shares "
                "(default: the folder's own splits where it has them, else auto)")
      ->check(CLI::IsMember({"train", "valid", "test", "auto"}));
  c->add_option("--shares", o->shares, "of train, valid and test")->capture_default_str();
  c->add_option("--only,--train-list", o->only,
                "of the train split only the photos that this file names, one a line; valid and test whole");
  add_reading(*c, o->data);
  c->add_flag("--new-classes", o->new_classes, "take classes that the data set does not have yet");
  c->add_flag("--relabel", o->relabel, "photos that are there already get the labels of the folder");
  c->add_flag("--skip-faulty", o->skip_faulty, "leave out what is faulty, and add the rest");
  c->add_option("--near", o->near_limit,
                fmt::format("photos with so many of {} bits different are the same one, encoded or resized again "
                            "(-1: only equal files are)",
                            io::NearHash::kBits))
      ->capture_default_str()
      ->check(between(-1, io::NearHash::kBits));
  c->add_option("--list", o->most, "how many faults and photos that are there already to list (0: all)")
      ->capture_default_str();
  o->store.add(*c);
  c->footer(
      "Examples:\n  rook data add chess photos --merge bishop=black-bishop\n"
      "  rook data add chess more --split train");
  c->callback([o] { add(*o); });
}

}  // namespace rook::app
