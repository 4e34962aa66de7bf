// Heads that the tests of decoding and of the loss share.
#pragma once

#include <utility>
#include <vector>

#include "kernels/box.h"
#include "tests/kernels/subject.h"
#include "tests/support.h"

namespace rook::test {

inline HeadSpec make_head(int classes, const std::vector<std::pair<float, float>>& anchors,
                          const std::vector<int>& mask) {
  HeadSpec head;
  head.classes = classes;
  head.total_anchors = static_cast<int>(anchors.size());
  for (std::size_t i = 0; i < anchors.size(); ++i) {
    head.anchor_w[i] = anchors[i].first;
    head.anchor_h[i] = anchors[i].second;
  }
  head.anchors = static_cast<int>(mask.size());
  std::copy(mask.begin(), mask.end(), head.mask);
  return head;
}

inline const std::vector<std::pair<float, float>>& six_anchors() {
  static const std::vector<std::pair<float, float>> anchors = {{10, 14}, {23, 27},   {37, 58},
                                                               {81, 82}, {135, 169}, {344, 319}};
  return anchors;
}

// Classic, scaled, new_coords, Gaussian, region with softmax and without.
inline std::vector<HeadSpec> all_kinds() {
  std::vector<HeadSpec> heads(6, make_head(7, six_anchors(), {1, 2, 5}));
  heads[1].scale_x_y = 1.05f;
  heads[2].scale_x_y = 2;
  heads[2].new_coords = true;
  heads[3].kind = HeadKind::gaussian;
  heads[3].scale_x_y = 1.1f;
  for (std::size_t i : {4u, 5u}) {
    heads[i] = make_head(11, {{1.08f, 1.19f}, {3.42f, 4.41f}, {6.63f, 11.38f}, {0.4f, 5.11f}}, {0, 1, 2, 3});
    heads[i].kind = HeadKind::region;
  }
  heads[5].softmax = false;
  return heads;
}

// What a network might put out: most anchors background, boxes near their anchors. Activated when the head wants it so.
inline void fill_outputs(TestTensor& outputs, const HeadSpec& head, Random& random, double objectness = -2) {
  const int entries = head.entries();
  for (std::int64_t i = 0; i < outputs.elements(); ++i) {
    const int e = static_cast<int>(i % outputs.view().c) % entries;
    double value = random.normal();
    if (e == objectness_entry(head.kind)) value = objectness + 2 * random.normal();
    if (e > objectness_entry(head.kind)) value = -1 + 1.5 * random.normal();
    if (e < objectness_entry(head.kind)) value *= 0.7;
    outputs.set(i, head.new_coords ? 1 / (1 + std::exp(-value)) : value);
  }
}

// The head's operations of ref.
inline Subject ref_subject() {
  Subject subject;
  subject.head_decode = [](const HeadDecode& args) { ref::head_decode(args); };
  subject.nms = [](const Nms& args) { ref::nms(args); };
  subject.yolo_loss = [](const YoloLoss& args) { ref::yolo_loss(args); };
  subject.nms_workspace = ref::nms_workspace;
  subject.yolo_loss_workspace = ref::yolo_loss_workspace;
  return subject;
}

}  // namespace rook::test
