// What each anchor cell of a head says of a photo, as detection decodes it.
#pragma once

#include <span>
#include <vector>

#include "model/detector.h"

namespace rook {

struct HeadCells {
  int node = 0;  // of the head
  int columns = 0, rows = 0, anchors = 0;
  // [rows, columns, anchors]; box relative to the network's input, the likeliest class. Where no class has any
  // probability all is 0.
  std::vector<Detection> cells;
  std::vector<float> logits;  // [rows, columns, anchors x entries], as the network puts them out

  const Detection& at(int column, int row, int anchor) const {
    return cells[(static_cast<std::size_t>(row) * columns + column) * anchors + anchor];
  }
  float largest() const;                            // objectness
  std::vector<float> objectness(int anchor) const;  // [rows, columns]; anchor -1: the largest of all anchors
};

// Of the first photo of the batch that the detector has run.
std::vector<HeadCells> head_cells(const Network& network, Detector& detector, const Backend& backend);

}  // namespace rook
