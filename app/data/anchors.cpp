// rook data anchors: how well a network's anchors fit the boxes of a data set, and which would fit better.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/checks.h"
#include "app/data/data.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "model/anchors.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct DataAnchorsFlags {
  DataOptions data;
  std::string arch = "yolov4-tiny", fit = "stretch", out, json;
  int size = 0;
  bool lenient = false, together = false;
};

void print_fit(const char* what, const AnchorFit& fit) {
  fmt::print("{}: mean IoU of a box with its best anchor {:.3f}, below 0.5: {:.1f} % of the boxes\n", what,
             fit.mean_iou, 100 * fit.poor);
  double all = 0;
  for (const std::int64_t boxes : fit.boxes) all += static_cast<double>(boxes);
  for (std::size_t a = 0; a < fit.anchors.size(); ++a)
    fmt::print("  {:>6.1f} x {:<6.1f} {:>5.1f} %\n", fit.anchors[a].w, fit.anchors[a].h,
               100 * static_cast<double>(fit.boxes[a]) / all);
}

nlohmann::json to_json(const AnchorFit& fit) {
  nlohmann::json anchors = nlohmann::json::array();
  for (std::size_t a = 0; a < fit.anchors.size(); ++a)
    anchors.push_back({{"width", fit.anchors[a].w}, {"height", fit.anchors[a].h}, {"boxes", fit.boxes[a]}});
  return {{"mean_iou", fit.mean_iou}, {"below_half", fit.poor}, {"anchors", anchors}};
}

void run(const DataAnchorsFlags& o) {
  if (!o.out.empty() && fs::exists(o.out))
    throw Error(fmt::format("--out {}: exists; name a new file, or remove this one", o.out));
  io::Cfg cfg = find_cfg(o.arch, {.lenient = o.lenient});
  const auto network = build_network(cfg);
  const std::vector<BoxShape> own = anchors_of(*network);
  const int width = o.size ? o.size : network->width, height = o.size ? o.size : network->height;
  const io::Dataset dataset = o.data.read();
  const io::Split& split = DataOptions::find(dataset, o.data.split);
  const std::vector<BoxShape> shapes = box_shapes(split, width, height, fit_from_name(o.fit));
  const AnchorFit before = measure_anchors(shapes, own, used_anchors(*network));
  const AnchorFit after = o.together ? fit_anchors(shapes, static_cast<int>(own.size())) : fit_heads(shapes, *network);
  if (!o.json.empty())
    write_json(o.json, {{"arch", cfg.name},
                        {"width", width},
                        {"height", height},
                        {"boxes", shapes.size()},
                        {"own", to_json(before)},
                        {"fitted", to_json(after)}});
  if (o.json != "-") {
    fmt::print("{} boxes of {} photos ({}) at {}x{}\n", shapes.size(), split.images.size(), split.name, width, height);
    print_fit(fmt::format("anchors of {}", cfg.name).c_str(), before);
    print_fit("anchors fitted to these boxes", after);
    fmt::print("for the cfg: anchors={}\n", to_text(after.anchors));
  }
  if (o.out.empty()) return;
  set_anchors(cfg, after.anchors);
  io::write_file_atomically(o.out, cfg.to_text());
  if (o.json != "-") fmt::print("{} with these anchors: {} (rook train --arch {})\n", cfg.name, o.out, o.out);
}

}  // namespace

void add_data_anchors(CLI::App& data) {
  auto o = std::make_shared<DataAnchorsFlags>();
  CLI::App* c =
      data.add_subcommand("anchors", "how well a network's anchors fit the boxes, and which would fit better");
  c->add_option("data", o->data.data, "folder or file of labelled photos, or a data set")->required();
  c->add_option("--store", o->data.store, "folder where data sets live (default: $ROOK_DATA, else data)");
  o->data.split = "train";
  c->add_option("--split", o->data.split, "train, valid or test")->capture_default_str();
  add_reading(*c, o->data);
  c->add_option("--arch", o->arch, "network: a cfg file or one of ours")->capture_default_str();
  add_size(*c, o->size, "the cfg's");
  c->add_option("--fit", o->fit, "how photos are brought to that size: stretch or letterbox")
      ->capture_default_str()
      ->check(CLI::IsMember({"stretch", "letterbox"}));
  c->add_flag(
      "--together", o->together,
      "fit all anchors to all boxes, as darknet's calc_anchors does: moves boxes to other heads, which can hurt");
  c->add_flag("--lenient", o->lenient, "unknown keys of a cfg are warnings");
  c->add_option("--out", o->out, "write the network's cfg with the fitted anchors to a new file")->check(something());
  c->add_option("--json", o->json, "figures as JSON to a file, or to standard output (-)");
  c->footer(
      "Examples:\n  rook data anchors chess --arch yolov4-tiny\n"
      "  rook data anchors chess --arch yolov4-tiny --out fitted.cfg\n  rook train --data chess --arch fitted.cfg");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
