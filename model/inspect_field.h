// Receptive fields: which pixels of the network's input a value of a layer is computed from. Windows are followed back
// through the graph, layer by layer; where several paths meet, their hull counts.
// Channels of a layer are not told apart.
#pragma once

#include "engine/graph.h"

namespace rook {

enum class Border { cut, open };  // at each layer's edges, where only padding lies beyond; or as if there were none

// The pixels of an input of that size behind the window of node `node`. `cut`: exactly those that can matter. Throws
// Error when the graph has no such node, or (cut) the window holds no pixel of it.
Window receptive_window(const Graph& graph, int node, const Window& window, int net_h, int net_w, Border edges);

struct ReceptiveField {
  int width = 0, height = 0;          // pixels of the input behind one cell, as if there were no edges
  double stride_x = 1, stride_y = 1;  // pixels of the input from one cell to the next
};

// Of the node's middle cell.
ReceptiveField receptive_field(const Graph& graph, int node, int net_h, int net_w);

}  // namespace rook
