// A network as data: nodes in order of execution, each with its op and the nodes it reads. Node i is layer i of the
// cfg.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/op.h"

namespace rook {

inline constexpr int kNetworkInput = -1;

struct Node {
  std::unique_ptr<Op> op;   // null: a detection head, which loss and decode read directly
  std::vector<int> inputs;  // node indices, kNetworkInput for the picture
  std::string name;         // "12 convolutional", for messages and tables
  Shape output;
  bool logits = false;  // output is f32 whatever the compute type: it feeds a head
};

class Graph {
 public:
  explicit Graph(Shape input) : input_(input) {}

  // Infers the shape of the new node. Throws Error naming the node when the shapes do not fit. Returns its index.
  int add(std::unique_ptr<Op> op, std::vector<int> inputs, std::string name);
  // Marks node `source` as read by a head at index size().
  int add_head(int source, std::string name);

  // Shapes for another size of the picture.
  std::vector<Shape> shapes(int h, int w) const;

  const std::vector<Node>& nodes() const { return nodes_; }
  int size() const { return static_cast<int>(nodes_.size()); }
  Shape input() const { return input_; }
  const std::vector<int>& heads() const { return heads_; }  // head nodes in order
  int head_source(int head) const { return nodes_[static_cast<std::size_t>(head)].inputs.front(); }
  double flops() const;  // per image

 private:
  Shape input_;
  std::vector<Node> nodes_;
  std::vector<int> heads_;
};

}  // namespace rook
