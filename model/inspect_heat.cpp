#include "model/inspect_heat.h"

#include <algorithm>

#include "engine/readback.h"

namespace rook {

float HeadCells::largest() const {
  float most = 0;
  for (const Detection& d : cells) most = std::max(most, d.objectness);
  return most;
}

std::vector<float> HeadCells::objectness(int anchor) const {
  std::vector<float> plane;
  for (int cell = 0; cell < rows * columns; ++cell) {
    float value = 0;
    for (int a = 0; a < anchors; ++a)
      if (anchor < 0 || a == anchor)
        value = std::max(value, cells[static_cast<std::size_t>(cell * anchors + a)].objectness);
    plane.push_back(value);
  }
  return plane;
}

std::vector<HeadCells> head_cells(const Network& network, Detector& detector, const Backend& backend) {
  Executor& executor = detector.executor();
  const DeviceRuntime& runtime = executor.runtime();
  std::vector<HeadCells> heads;
  for (const Head& head : network.heads) {
    const Tensor logits = executor.output(head.source).images(0, 1);
    HeadCells cells{.node = head.node,
                    .columns = logits.w,
                    .rows = logits.h,
                    .anchors = head.spec.anchors,
                    .cells = {},
                    .logits = floats_of(logits, executor)};
    const std::size_t count = static_cast<std::size_t>(logits.h) * logits.w * head.spec.anchors;
    Arena found(runtime), counter(runtime);
    found.reserve(count * sizeof(Detection));
    counter.reserve(sizeof(std::int32_t));
    runtime.clear(counter.data(), sizeof(std::int32_t), executor.stream());
    backend.head_decode({.head = head.spec,
                         .logits = logits,
                         .net_w = detector.width(),
                         .net_h = detector.height(),
                         .threshold = 0,
                         .detections = found.as<Detection>(),
                         .counts = counter.as<std::int32_t>(),
                         .capacity = static_cast<int>(count),
                         .first_index = 0,
                         .best_class = true},
                        executor.stream());
    std::int32_t decoded = 0;
    std::vector<Detection> list(count);
    runtime.copy(&decoded, counter.data(), sizeof decoded, executor.stream());
    runtime.copy(list.data(), found.data(), count * sizeof(Detection), executor.stream());
    runtime.synchronize(executor.stream());
    cells.cells.resize(count);
    for (std::int32_t i = 0; i < decoded; ++i) {
      const Detection& d = list[static_cast<std::size_t>(i)];
      cells.cells[static_cast<std::size_t>(d.index)] = d;
    }
    heads.push_back(std::move(cells));
  }
  return heads;
}

}  // namespace rook
