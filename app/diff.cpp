// rook diff: two devices, precisions or convolutions beside each other, node by node.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "app/checks.h"
#include "app/common.h"
#include "base/error.h"
#include "io/image.h"
#include "kernels/names.h"
#include "model/diff.h"

namespace rook::app {
namespace {

struct Side {
  std::string device, precision = "f32", conv;
};

struct DiffFlags {
  ModelOptions model;
  Side a{.device = "cpu"}, b{.device = "auto"};
  std::string image, json, resize;
  int size = 0;
  bool train = false, all = false;
  std::string conv_cache;
  double tolerance = 0;
};

DiffSide side_of(const Side& side, const std::string& conv_cache) {
  const auto type = dtype_from_name(side.precision);
  if (!type || (*type != DType::f32 && *type != DType::bf16 && *type != DType::f16))
    throw UsageError(fmt::format("precision {}: is not one of f32, bf16, f16", side.precision));
  const Backend& backend = find_backend(side.device);
  return {.backend = &backend, .compute = *type, .conv = conv_choice(side.conv, backend, conv_cache)};
}

// The photo as the network takes it, in f32.
std::vector<float> input_of(const DiffFlags& o, const Network& network, const Preprocess& preprocess, int width,
                            int height) {
  const io::Image image = io::read_image(o.image, network.channels);
  std::vector<float> pixels(static_cast<std::size_t>(width) * height * network.channels);
  cpu::resize({.pixels = image.pixels.data(),
               .width = image.width,
               .height = image.height,
               .channels = image.channels,
               .y = make_tensor(pixels.data(), DType::f32, 1, height, width, network.channels),
               .resampling = o.resize.empty() ? preprocess.resampling : resampling_from_name(o.resize),
               .fit = preprocess.fit});
  return pixels;
}

void run(const DiffFlags& o) {
  Model model = o.model.read();
  const Network& network = *model.network;
  DiffOptions options{.a = side_of(o.a, o.conv_cache), .b = side_of(o.b, o.conv_cache), .train = o.train};
  options.width = o.size ? o.size : network.width;
  options.height = o.size ? o.size : network.height;
  const auto pixels = input_of(o, network, model.preprocess, options.width, options.height);
  const std::vector<Difference> rows = compare_devices(model, pixels, options);
  const auto worst = std::max_element(
      rows.begin(), rows.end(), [](const Difference& x, const Difference& y) { return x.relative() < y.relative(); });
  if (!o.json.empty()) {
    nlohmann::json list = nlohmann::json::array();
    for (const Difference& row : rows)
      list.push_back({{"name", row.name},
                      {"elements", row.elements},
                      {"largest", row.largest},
                      {"worst", row.worst},
                      {"relative", row.relative()},
                      {"where", row.where},
                      {"a", row.a},
                      {"b", row.b}});
    write_json(o.json, {{"model", model.source},
                        {"a", fmt::format("{} {}", o.a.device, o.a.precision)},
                        {"b", fmt::format("{} {}", o.b.device, o.b.precision)},
                        {"values", list}});
  }
  if (o.json != "-") {
    fmt::print("{:<34} {:>10} {:>11} {:>11} {:>10}  {}\n", "", "elements", "largest", "difference", "relative",
               "worst element");
    for (const Difference& row : rows)
      fmt::print("{:<34} {:>10} {:>11.4g} {:>11.3g} {:>10.2g}  {} {:.6g} {:.6g}\n", row.name, row.elements, row.largest,
                 row.worst, row.relative(), row.where, row.a, row.b);
    fmt::print("worst: {:.3g} of the largest value, at {}\n", worst->relative(), worst->name);
  }
  if (o.tolerance > 0 && !(worst->relative() <= o.tolerance))
    throw Error(fmt::format("{} differs by {:.3g} of its largest value, more than {}", worst->name, worst->relative(),
                            o.tolerance));
}

void add_side(CLI::App& app, const std::string& name, Side& side) {
  app.add_option("--" + name, side.device, "device: cpu, cuda, emu, ref or auto")->capture_default_str();
  app.add_option("--precision-" + name, side.precision, "f32, bf16 or f16")->capture_default_str();
  app.add_option("--conv-" + name, side.conv, "implementation of convolution, by name");
}

}  // namespace

void add_diff(CLI::App& app) {
  auto o = std::make_shared<DiffFlags>();
  CLI::App* c = app.add_subcommand("diff", "two devices or precisions beside each other, node by node");
  c->add_option("image", o->image, "the photo to run")->required();
  o->model.add(*c);
  add_side(*c, "a", o->a);
  add_side(*c, "b", o->b);
  add_conv_cache(*c, o->conv_cache);
  add_size(*c, o->size, "that of the training, or the cfg's");
  c->add_option("--resize", o->resize, "how the photo is scaled: half-pixel, align-corners, area");
  c->add_flag("--train", o->train, "the forward of training, and the gradients of all parameters");
  c->add_option("--tolerance", o->tolerance, "fail when a value differs by more than this share of its node's largest")
      ->check(between(0, 1e9));
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  c->footer("Example:\n  rook diff --a cpu --b emu --model yolov4-tiny.cfg:yolov4-tiny.weights dog.jpg");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
