#include "model/inspect_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rook {
namespace {

LayerFacts layer_facts(const Network& network, int node, int width, int height, const std::vector<Shape>& shapes) {
  const Node& from = network.graph.nodes()[static_cast<std::size_t>(node)];
  std::vector<Shape> inputs;
  for (const int input : from.inputs)
    inputs.push_back(input == kNetworkInput ? Shape{height, width, network.channels}
                                            : shapes[static_cast<std::size_t>(input)]);
  LayerFacts facts{.type = network.cfg.layer(node).type,
                   .inputs = from.inputs,
                   .output = shapes[static_cast<std::size_t>(node)],
                   .field = receptive_field(network.graph, node, height, width)};
  if (!from.op) return facts;
  for (const ParamSpec& spec : from.op->params()) facts.parameters += spec.trainable() ? spec.count() : 0;
  facts.flops = from.op->flops(inputs, facts.output);
  return facts;
}

}  // namespace

NetworkFacts network_facts(const Model& model, int width, int height, int runs, ExecutorOptions options) {
  const Network& network = *model.network;
  options.profile = true;
  Executor executor(network.graph, *model.params, options);
  executor.resize(1, height, width);
  executor.forward();
  for (NodeTime& time : executor.times()) time = {};
  for (int i = 0; i < runs; ++i) executor.forward();
  const Plan& plan = executor.plan();
  NetworkFacts facts{.name = network.cfg.name,
                     .width = width,
                     .height = height,
                     .classes = network.classes(),
                     .compute = options.compute,
                     .layers = {},
                     .floats = model.params->total(),
                     .activation_bytes = plan.activation_bytes,
                     .workspace_bytes = plan.workspace_bytes,
                     .weight_bytes = plan.state_bytes};
  const std::vector<Shape> shapes = network.graph.shapes(height, width);
  for (int i = 0; i < network.graph.size(); ++i) {
    LayerFacts layer = layer_facts(network, i, width, height, shapes);
    const NodePlan& planned = plan.nodes[static_cast<std::size_t>(i)];
    if (planned.root == i)
      layer.bytes = static_cast<std::size_t>(planned.output.elements()) * size_of(planned.output.dtype);
    layer.ms = executor.times()[static_cast<std::size_t>(i)].forward_s * 1e3 / runs;
    facts.parameters += layer.parameters;
    facts.flops += layer.flops;
    facts.ms += layer.ms;
    facts.layers.push_back(std::move(layer));
  }
  return facts;
}

nlohmann::json to_json(const NetworkFacts& facts) {
  nlohmann::json rows = nlohmann::json::array();
  for (std::size_t i = 0; i < facts.layers.size(); ++i) {
    const LayerFacts& layer = facts.layers[i];
    rows.push_back({{"layer", i},
                    {"type", layer.type},
                    {"inputs", layer.inputs},
                    {"output", {layer.output.w, layer.output.h, layer.output.c}},
                    {"parameters", layer.parameters},
                    {"bflops", layer.flops / 1e9},
                    {"bytes", layer.bytes},
                    {"ms", layer.ms},
                    {"receptive_field", {layer.field.width, layer.field.height}},
                    {"stride", {layer.field.stride_x, layer.field.stride_y}}});
  }
  return {{"network", facts.name},
          {"width", facts.width},
          {"height", facts.height},
          {"classes", facts.classes},
          {"layers", rows},
          {"parameters", facts.parameters},
          {"floats", facts.floats},
          {"bflops", facts.flops / 1e9},
          {"ms", facts.ms},
          {"activation_bytes", facts.activation_bytes},
          {"workspace_bytes", facts.workspace_bytes},
          {"weight_bytes", facts.weight_bytes}};
}

std::string to_text(const NetworkFacts& facts) {
  std::string text = fmt::format("{:>4} {:<16} {:<12} {:>16} {:>12} {:>9} {:>9} {:>11}\n", "", "layer", "reads",
                                 "output", "parameters", "BFLOPs", "ms", "sees");
  for (std::size_t i = 0; i < facts.layers.size(); ++i) {
    const LayerFacts& layer = facts.layers[i];
    std::string reads;
    for (const int input : layer.inputs)
      reads += (reads.empty() ? "" : ",") + (input < 0 ? std::string("picture") : std::to_string(input));
    text += fmt::format("{:>4} {:<16} {:<12} {:>16} {:>12} {:>9.3f} {:>9.3f} {:>11}\n", i, layer.type, reads,
                        fmt::format("{}x{}x{}", layer.output.w, layer.output.h, layer.output.c), layer.parameters,
                        layer.flops / 1e9, layer.ms, fmt::format("{}x{}", layer.field.width, layer.field.height));
  }
  return text + fmt::format(
                    "{} at {}x{}: {} parameters ({} floats in a weights file), {:.3f} BFLOPs, {:.2f} ms forward ({}), "
                    "memory: activations {:.1f} MB, weights {:.1f} MB, scratch {:.1f} MB\n",
                    facts.name, facts.width, facts.height, facts.parameters, facts.floats, facts.flops / 1e9, facts.ms,
                    name_of(facts.compute), facts.activation_bytes / 1e6, facts.weight_bytes / 1e6,
                    facts.workspace_bytes / 1e6);
}

}  // namespace rook
