#include "engine/graph.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rook {
namespace {

std::vector<Shape> input_shapes(const std::vector<int>& inputs, const std::vector<Shape>& shapes, Shape picture) {
  std::vector<Shape> result;
  for (const int i : inputs) result.push_back(i == kNetworkInput ? picture : shapes[static_cast<std::size_t>(i)]);
  return result;
}

Shape infer(const Node& node, const std::vector<Shape>& shapes, Shape picture) {
  const auto inputs = input_shapes(node.inputs, shapes, picture);
  if (!node.op) return inputs.front();
  try {
    const Shape output = node.op->infer(inputs);
    if (output.h < 1 || output.w < 1 || output.c < 1)
      throw Error(fmt::format("the output would be {}x{}x{}: the picture is too small", output.w, output.h, output.c));
    return output;
  } catch (const Error& error) {
    throw Error(fmt::format("layer {}: {}", node.name, error.what()));
  }
}

}  // namespace

int Graph::add(std::unique_ptr<Op> op, std::vector<int> inputs, std::string name) {
  Node node{.op = std::move(op), .inputs = std::move(inputs), .name = std::move(name), .output = {}};
  for (const int i : node.inputs)
    if (i < kNetworkInput || i >= size())
      throw Error(fmt::format("layer {}: reads layer {}, which does not come before it", node.name, i));
  std::vector<Shape> known;
  for (const Node& earlier : nodes_) known.push_back(earlier.output);
  node.output = infer(node, known, input_);
  nodes_.push_back(std::move(node));
  return size() - 1;
}

int Graph::add_head(int source, std::string name) {
  if (source < 0 || source >= size()) throw Error(fmt::format("layer {}: a head must follow a layer", name));
  Node& producer = nodes_[static_cast<std::size_t>(source)];
  producer.logits = true;
  nodes_.push_back({.op = nullptr, .inputs = {source}, .name = std::move(name), .output = producer.output});
  heads_.push_back(size() - 1);
  return size() - 1;
}

std::vector<Shape> Graph::shapes(int h, int w) const {
  std::vector<Shape> result;
  for (const Node& node : nodes_) result.push_back(infer(node, result, {h, w, input_.c}));
  return result;
}

double Graph::flops() const {
  double sum = 0;
  std::vector<Shape> known;
  for (const Node& node : nodes_) {
    if (node.op) sum += node.op->flops(input_shapes(node.inputs, known, input_), node.output);
    known.push_back(node.output);
  }
  return sum;
}

}  // namespace rook
