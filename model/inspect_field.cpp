#include "model/inspect_field.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>

#include "base/error.h"

namespace rook {
namespace {

// The smallest window that holds both.
void join(std::optional<Window>& sum, const Window& w) {
  if (!sum) {
    sum = w;
    return;
  }
  sum = {std::min(sum->left, w.left), std::min(sum->top, w.top), std::max(sum->right, w.right),
         std::max(sum->bottom, w.bottom)};
}

// Empty when nothing of the window lies inside.
std::optional<Window> inside(const Window& w, int width, int height) {
  const Window cut{std::max(w.left, 0), std::max(w.top, 0), std::min(w.right, width - 1),
                   std::min(w.bottom, height - 1)};
  return cut.left <= cut.right && cut.top <= cut.bottom ? std::optional(cut) : std::nullopt;
}

}  // namespace

Window receptive_window(const Graph& graph, int node, const Window& window, int net_h, int net_w, Border edges) {
  if (node < 0 || node >= graph.size())
    throw Error(fmt::format("there is no layer {}; the network has layers 0 to {}", node, graph.size() - 1));
  const std::vector<Shape> shapes = graph.shapes(net_h, net_w);
  const Shape picture{net_h, net_w, graph.input().c};
  const auto shape_of = [&](int input) {
    return input == kNetworkInput ? picture : shapes[static_cast<std::size_t>(input)];
  };
  std::vector<std::optional<Window>> read(shapes.size());
  std::optional<Window> pixels;
  const auto add = [&](int input, const Window& w) {
    const Shape shape = shape_of(input);
    const std::optional<Window> seen = edges == Border::cut ? inside(w, shape.w, shape.h) : std::optional(w);
    if (seen) join(input == kNetworkInput ? pixels : read[static_cast<std::size_t>(input)], *seen);
  };
  add(node, window);
  for (int i = node; i >= 0; --i) {
    const std::optional<Window>& here = read[static_cast<std::size_t>(i)];
    if (!here) continue;
    const Node& from = graph.nodes()[static_cast<std::size_t>(i)];
    std::vector<Shape> inputs;
    for (const int input : from.inputs) inputs.push_back(shape_of(input));
    for (std::size_t j = 0; j < from.inputs.size(); ++j)
      add(from.inputs[j], from.op ? from.op->reads(j, *here, inputs) : *here);
  }
  if (!pixels)
    throw Error(fmt::format("layer {}: columns {}..{}, rows {}..{} see nothing of the picture", node, window.left,
                            window.right, window.top, window.bottom));
  return *pixels;
}

ReceptiveField receptive_field(const Graph& graph, int node, int net_h, int net_w) {
  const Shape shape = graph.shapes(net_h, net_w).at(static_cast<std::size_t>(node));
  const int x = shape.w / 2, y = shape.h / 2;
  const Window field = receptive_window(graph, node, {x, y, x, y}, net_h, net_w, Border::open);
  return {field.right - field.left + 1, field.bottom - field.top + 1, static_cast<double>(net_w) / shape.w,
          static_cast<double>(net_h) / shape.h};
}

}  // namespace rook
