// rook data check: what is in labelled photos, and what is wrong with them.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/data/data.h"
#include "app/label_check.h"
#include "io/census.h"
#include "io/image.h"
#include "model/drawn_box.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct DataCheckFlags {
  DataOptions data;
  std::string json, draw;
  int samples = 12, most_faults = 20;
  bool decode = false;
  LabelCheckOptions labels;
};

// Photos of each split, evenly spread over it, with their boxes.
void draw_samples(const io::Dataset& dataset, const DataCheckFlags& o) {
  fs::create_directories(o.draw);
  int drawn = 0;
  for (const io::Split& split : dataset.splits) {
    const int count = std::min<int>(o.samples, static_cast<int>(split.images.size()));
    for (int i = 0; i < count; ++i) {
      const io::LabelledImage& labelled = split.images[split.images.size() * i / count];
      io::Image image = io::read_image(labelled.file);
      std::vector<io::DrawnBox> boxes;
      for (const io::LabelBox& box : labelled.boxes)
        boxes.push_back(drawn_box(box, image, box.cls, dataset.classes[box.cls]));
      io::draw_boxes(image, boxes);
      io::write_image(fs::path(o.draw) / fmt::format("{}-{}.jpg", split.name, fs::path(labelled.name).stem().string()),
                      image);
      ++drawn;
    }
  }
  fmt::print("{} photos with boxes drawn: {}\n", drawn, o.draw);
}

void check(const DataCheckFlags& o) {
  if (!o.labels.models.empty()) return check_labels(o.data, o.labels, o.json, o.draw);
  io::DatasetOptions reading = o.data.options();
  reading.find_duplicates = true;
  reading.decode = o.decode;
  const io::Dataset dataset = io::read_dataset(o.data.path(), reading);
  const io::Census census = io::take_census(dataset);
  if (!o.json.empty()) write_json(o.json, io::to_json(census));
  if (o.json != "-") {
    fmt::print("{}", io::to_text(census));
    int shown = 0;
    for (const io::Fault& fault : dataset.faults) {
      if (o.most_faults > 0 && ++shown > o.most_faults) break;
      fmt::print("{}:{}: {}: {}\n", fault.file.string(), fault.line, name_of(fault.kind), fault.message);
    }
    if (o.most_faults > 0 && static_cast<int>(dataset.faults.size()) > o.most_faults)
      fmt::print("... and {} more faults (--faults 0 lists all)\n", dataset.faults.size() - o.most_faults);
  }
  if (!o.draw.empty()) draw_samples(dataset, o);
  if (std::any_of(dataset.faults.begin(), dataset.faults.end(), [](const io::Fault& fault) { return fault.fatal; }))
    exit_status = 1;
}

}  // namespace

void add_data_check(CLI::App& data) {
  auto o = std::make_shared<DataCheckFlags>();
  CLI::App* checks = data.add_subcommand(
      "check", "census and every fault, with file and line; exit status 1 when boxes or photos must be left out");
  checks->add_option("data", o->data.data, "folder or file of labelled photos, or a data set")->required();
  checks->add_option("--store", o->data.store, "folder where data sets live (default: $ROOK_DATA, else data)");
  add_reading(*checks, o->data);
  o->labels.add(*checks);
  checks->footer(
      "Examples:\n  rook data check chess --draw samples\n"
      "  rook data check chess --model runs/chess --split test --draw suspects");
  checks->add_flag("--decode", o->decode,
                   "decode every photo: also finds damage within the pixels (files cut off are found without)");
  checks->add_option("--draw", o->draw, "folder for sample photos with their boxes drawn on them");
  checks->add_option("--samples", o->samples, "how many of each split")->capture_default_str();
  checks->add_option("--faults", o->most_faults, "how many faults to list (0: all)")->capture_default_str();
  checks->add_option("--json", o->json, "the census as JSON to a file, or to standard output (-)");
  checks->callback([o] { check(*o); });
}

}  // namespace rook::app
