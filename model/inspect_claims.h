// Which anchor cells a training would make answer for the truths of a photo: the loss's own assignment.
#pragma once

#include <span>
#include <vector>

#include "model/inspect_heat.h"
#include "model/network.h"
#include "model/train_config.h"

namespace rook {

struct Claim {
  int truth = 0;
  int head = 0;
  int column = 0, row = 0;
  int anchor = 0;            // of the head
  double shape_overlap = 0;  // IoU of anchor and truth as if they had one centre
  // What the network says there now.
  float objectness = 0;
  double overlap = 0;  // IoU of its box with the truth
  int cls = 0;         // its likeliest class
};

// By head, cell, anchor, truth. `heads` in the order of the network's; `truths` relative to the network's input.
std::vector<Claim> claims_of(const Network& network, const TrainConfig& config, std::span<const HeadCells> heads,
                             std::span<const Truth> truths, int net_w, int net_h);

}  // namespace rook
