#include "model/inspect_maps.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rook {
namespace {

ChannelMap channel_map(int channel, Shape shape, std::span<const float> values) {
  ChannelMap map{.channel = channel, .plane = {}};
  double sum = 0;
  for (std::size_t i = static_cast<std::size_t>(channel); i < values.size(); i += static_cast<std::size_t>(shape.c)) {
    map.plane.push_back(values[i]);
    sum += values[i];
  }
  const auto [low, high] = std::minmax_element(map.plane.begin(), map.plane.end());
  map.low = *low;
  map.high = *high;
  const double cells = static_cast<double>(map.plane.size()), mean = sum / cells;
  double squares = 0;
  for (const float v : map.plane) squares += (v - mean) * (v - mean);
  map.deviation = std::sqrt(squares / cells);
  return map;
}

}  // namespace

LayerMaps layer_maps(int node, Shape shape, std::span<const float> values, int most) {
  const auto broken = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (broken != values.end())
    throw Error(fmt::format("layer {}: channel {} holds a value that is not finite; check the weights", node,
                            (broken - values.begin()) % shape.c));
  LayerMaps maps{.node = node, .shape = shape, .channels = {}};
  for (int c = 0; c < shape.c; ++c) {
    maps.channels.push_back(channel_map(c, shape, values));
    maps.silent += maps.channels.back().low == maps.channels.back().high;
  }
  const auto at = std::max_element(values.begin(), values.end()) - values.begin();
  maps.greatest = values[static_cast<std::size_t>(at)];
  maps.channel = static_cast<int>(at % shape.c);
  maps.column = static_cast<int>(at / shape.c % shape.w);
  maps.row = static_cast<int>(at / shape.c / shape.w);
  std::stable_sort(maps.channels.begin(), maps.channels.end(),
                   [](const ChannelMap& a, const ChannelMap& b) { return a.deviation > b.deviation; });
  maps.channels.resize(std::min(maps.channels.size(), static_cast<std::size_t>(most)));
  return maps;
}

std::vector<int> interesting_layers(const Graph& graph, int net_h, int net_w, int most) {
  const std::vector<Shape> shapes = graph.shapes(net_h, net_w);
  std::vector<int> last;  // of each run of layers with one grid; heads' logits say little to the eye
  int width = 0;
  for (int i = 0; i < graph.size(); ++i) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(i)];
    const Shape shape = shapes[static_cast<std::size_t>(i)];
    if (!node.op || !node.op->convolution() || node.logits || shape.w < 2 || shape.h < 2) continue;
    if (shape.w == width) last.pop_back();
    last.push_back(i);
    width = shape.w;
  }
  const std::size_t count = std::min(last.size(), static_cast<std::size_t>(most));
  std::vector<int> chosen;
  for (std::size_t i = 0; i < count; ++i)
    chosen.push_back(last[count > 1 ? (i * (last.size() - 1) + (count - 1) / 2) / (count - 1) : 0]);
  return chosen;
}

}  // namespace rook
