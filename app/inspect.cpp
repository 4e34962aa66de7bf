// rook inspect: what is inside a network, layer by layer.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/common.h"
#include "base/error.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

struct Options {
  std::string model, json;
  LoadOptions load;
  ComputeOptions compute;
  int size = 0, runs = 5;
};

// A model with weights, or a network alone (its cfg or its name), with random ones.
Model read(const Options& o) {
  const bool weights = o.model.find(':') != std::string::npos || o.model.ends_with(".safetensors") ||
                       std::filesystem::is_directory(o.model);
  return weights ? load_model(o.model, o.load) : make_model(find_cfg(o.model, {.lenient = o.load.lenient}), {}, 1);
}

void run(const Options& o) {
  Model model = read(o);
  const Network& network = *model.network;
  const int width = o.size ? o.size : network.width, height = o.size ? o.size : network.height;
  const Graph& graph = network.graph;
  Executor executor(
      graph, *model.params,
      {.backend = &o.compute.backend(), .compute = o.compute.dtype(false), .profile = true, .conv = o.compute.convs()});
  executor.resize(1, height, width);
  executor.forward();
  for (NodeTime& time : executor.times()) time = {};
  for (int i = 0; i < o.runs; ++i) executor.forward();
  const std::vector<Shape> shapes = graph.shapes(height, width);
  nlohmann::json rows = nlohmann::json::array();
  double flops_sum = 0, ms_sum = 0;
  std::int64_t params_sum = 0;
  for (int i = 0; i < graph.size(); ++i) {
    const Node& node = graph.nodes()[i];
    std::vector<Shape> inputs;
    for (const int input : node.inputs)
      inputs.push_back(input == kNetworkInput ? Shape{height, width, network.channels} : shapes[input]);
    std::int64_t params = 0;
    if (node.op)
      for (const ParamSpec& spec : node.op->params()) params += spec.trainable() ? spec.count() : 0;
    const double flops = node.op ? node.op->flops(inputs, shapes[i]) : 0;
    const double ms = executor.times()[i].forward_s * 1e3 / o.runs;
    rows.push_back({{"layer", i},
                    {"type", network.cfg.layer(i).type},
                    {"inputs", node.inputs},
                    {"output", {shapes[i].w, shapes[i].h, shapes[i].c}},
                    {"parameters", params},
                    {"bflops", flops / 1e9},
                    {"ms", ms}});
    flops_sum += flops;
    ms_sum += ms;
    params_sum += params;
  }
  const Plan& plan = executor.plan();
  const nlohmann::json result = {{"network", network.cfg.name},
                                 {"width", width},
                                 {"height", height},
                                 {"classes", network.classes()},
                                 {"layers", rows},
                                 {"parameters", params_sum},
                                 {"floats", model.params->total()},
                                 {"bflops", flops_sum / 1e9},
                                 {"ms", ms_sum},
                                 {"activation_bytes", plan.activation_bytes},
                                 {"workspace_bytes", plan.workspace_bytes},
                                 {"weight_bytes", plan.state_bytes}};
  if (!o.json.empty()) write_json(o.json, result);
  if (o.json == "-") return;
  fmt::print("{:>4} {:<16} {:<12} {:>16} {:>12} {:>9} {:>9}\n", "", "layer", "reads", "output", "parameters", "BFLOPs",
             "ms");
  for (const auto& row : rows) {
    std::string reads;
    for (const int input : row["inputs"])
      reads +=
          fmt::format("{}{}", reads.empty() ? "" : ",", input < 0 ? std::string("picture") : std::to_string(input));
    fmt::print(
        "{:>4} {:<16} {:<12} {:>16} {:>12} {:>9.3f} {:>9.3f}\n", row["layer"].get<int>(),
        row["type"].get<std::string>(), reads,
        fmt::format("{}x{}x{}", row["output"][0].get<int>(), row["output"][1].get<int>(), row["output"][2].get<int>()),
        row["parameters"].get<std::int64_t>(), row["bflops"].get<double>(), row["ms"].get<double>());
  }
  fmt::print(
      "{} at {}x{}: {} parameters ({} floats in a weights file), {:.3f} BFLOPs, {:.2f} ms forward ({}), memory: "
      "activations {:.1f} MB, weights {:.1f} MB, scratch {:.1f} MB\n",
      network.cfg.name, width, height, params_sum, model.params->total(), flops_sum / 1e9, ms_sum,
      name_of(o.compute.dtype(false)), plan.activation_bytes / 1e6, plan.state_bytes / 1e6, plan.workspace_bytes / 1e6);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("inspect", "layers of a network: shapes, parameters, FLOPs, memory, time");
  c->add_option("--model", o->model,
                "a run, a checkpoint, NETWORK.cfg:FILE.weights, or a network alone: a cfg file or one of ours")
      ->required();
  c->add_option("--names", o->load.names_file, "class names, one per line, where the weights have none");
  c->add_flag("--lenient", o->load.lenient, "unknown keys of a cfg are warnings");
  c->add_option("--size", o->size, "side of the network's input (default: the cfg's)");
  c->add_option("--runs", o->runs, "how often to run it for the times")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  c->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  o->compute.add(*c);
  c->footer("Example:\n  rook inspect --model yolov4-tiny");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
