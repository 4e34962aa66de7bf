// [yolo], [Gaussian_yolo] and [region] sections as heads.
#pragma once

#include "model/network.h"

namespace rook {

// The head of layer `node`, whose logits have the given shape. Throws Error with file:line.
Head read_head(const io::CfgSection& section, int node, Shape logits);

// What holds for all heads together: nms of the last one, equal class counts, one table of anchors.
void finish_heads(Network& network);

}  // namespace rook
