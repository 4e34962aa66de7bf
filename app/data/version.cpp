// rook data version: a data set as it is now, prepared for training, and never changed again.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <optional>

#include "app/counter.h"
#include "app/data/data.h"
#include "base/error.h"
#include "io/store_version.h"
#include "model/preprocess.h"

namespace rook::app {
namespace {

struct DataVersionFlags {
  StoreOptions store;
  std::string name, resize, resampling = "area";
  bool stretch = false, letterbox = false;
};

io::Preparation preparation_of(const DataVersionFlags& o) {
  if (o.resize.empty()) {
    if (o.stretch || o.letterbox) throw Error("--stretch, --letterbox: say to which size, like --resize 416x416");
    return {};
  }
  const auto [width, height] = size_of(o.resize);
  return {.fit = o.letterbox ? "letterbox" : "stretch",
          .resampling = name_of(resampling_from_name(o.resampling)),
          .width = width,
          .height = height};
}

io::PreparePhoto preparer(const io::Preparation& p) {
  if (p.fit == "none") return {};
  const Preprocess preprocess{.resampling = resampling_from_name(p.resampling), .fit = fit_from_name(p.fit)};
  return [p, preprocess](const io::Image& photo, io::StoredPhoto& labels) {
    const auto move = [&](auto& box) {
      const Truth moved =
          letterboxed({box.x, box.y, box.w, box.h, box.cls}, photo.width, photo.height, p.width, p.height);
      box.x = moved.x, box.y = moved.y, box.w = moved.w, box.h = moved.h;
    };
    if (preprocess.fit == Fit::letterbox) {
      for (io::LabelBox& box : labels.boxes) move(box);
      for (io::IgnoredRegion& region : labels.ignored) move(region);
    }
    return resized(photo, p.width, p.height, preprocess);
  };
}

void make_version(const DataVersionFlags& o) {
  const io::Store store = o.store.store();
  const io::Preparation preparation = preparation_of(o);
  std::optional<Counter> counter;
  const io::StoredVersion version =
      io::make_version(store, o.name, preparation, preparer(preparation), [&](int done, int all) {
        if (!counter) counter.emplace("photos prepared", all, true);
        counter->show(done);
      });
  counter.reset();
  std::string parts;
  std::int64_t photos = 0, boxes = 0;
  for (const io::SplitCount& count : io::count_splits(version.photos)) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", count.split, count.photos);
    photos += count.photos;
    boxes += count.boxes;
    if (count.photos == 0 && count.split != "test")
      fmt::print("{}: has no {} photos{}\n", o.name, count.split,
                 count.split == "train" ? ": there is nothing to train on" : ": training cannot say how good it is");
  }
  fmt::print("{}/v{}: {} photos ({}), {} boxes, {} classes; {}\n", o.name, version.number, photos, parts, boxes,
             version.classes.size(), io::to_text(preparation));
}

}  // namespace

void add_data_version(CLI::App& data) {
  auto o = std::make_shared<DataVersionFlags>();
  CLI::App* c = data.add_subcommand("version", "freeze a data set as its next version: NAME/v1, v2, ...");
  c->add_option("name", o->name, "the data set")->required();
  c->add_option("--resize", o->resize, "photos of WIDTHxHEIGHT pixels (default: as they were added)");
  CLI::Option* stretch = c->add_flag("--stretch", o->stretch, "to all of that size, whatever their shape (default)");
  c->add_flag("--letterbox", o->letterbox, "into that size, grey around them")->excludes(stretch);
  c->add_option("--resampling", o->resampling, "area, half-pixel or align-corners")
      ->capture_default_str()
      ->check(CLI::IsMember({"area", "half-pixel", "align-corners"}));
  o->store.add(*c);
  c->footer("Examples:\n  rook data version chess --resize 416x416 --stretch\n  rook train --data chess/v1");
  c->callback([o] { make_version(*o); });
}

}  // namespace rook::app
