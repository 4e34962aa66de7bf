// What a layer made of a photo: its strongest channels, and the cell that answers most.
#pragma once

#include <span>
#include <vector>

#include "engine/executor.h"

namespace rook {

struct ChannelMap {
  int channel = 0;
  float low = 0, high = 0;   // least and greatest value
  double deviation = 0;      // root mean square distance from its mean
  std::vector<float> plane;  // [h, w]
};

struct LayerMaps {
  int node = 0;
  Shape shape;
  int silent = 0;                    // channels with the same value everywhere
  std::vector<ChannelMap> channels;  // the strongest ones: by falling deviation
  // Where the layer's greatest value is.
  int column = 0, row = 0, channel = 0;
  float greatest = 0;
};

// Of values [h, w, c]. At most `most` channels.
LayerMaps layer_maps(int node, Shape shape, std::span<const float> values, int most);

// The last convolutions before the grid changes, at most `most` of them at different depths: a sensible choice.
std::vector<int> interesting_layers(const Graph& graph, int net_h, int net_w, int most);

}  // namespace rook
