#include "model/darknet_import.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>

#include "base/error.h"

namespace rook {
namespace {

// Floats of each layer in file order; zero for layers without parameters.
std::vector<std::int64_t> layer_floats(const Network& network) {
  std::vector<std::int64_t> floats;
  for (const Node& node : network.graph.nodes()) {
    std::int64_t sum = 0;
    if (node.op)
      for (const ParamSpec& spec : node.op->params()) sum += spec.count();
    floats.push_back(sum);
  }
  return floats;
}

std::int64_t sum_of(const std::vector<std::int64_t>& floats) {
  std::int64_t sum = 0;
  for (const auto count : floats) sum += count;
  return sum;
}

// The layer whose parameters make the logits of a head: the convolution it reads.
bool feeds_head(const Network& network, int layer) {
  return std::any_of(network.heads.begin(), network.heads.end(),
                     [&](const Head& head) { return head.source == layer; });
}

// Floats of a head's convolution if the head had other classes.
std::int64_t head_floats(const Network& network, int layer, std::int64_t floats, int classes) {
  for (const Head& head : network.heads) {
    if (head.source != layer) continue;
    HeadSpec other = head.spec;
    other.classes = classes;
    return floats / (head.spec.anchors * head.spec.entries()) * (other.anchors * other.entries());
  }
  return floats;
}

std::vector<std::int64_t> with_classes(const Network& network, const std::vector<std::int64_t>& floats, int classes) {
  std::vector<std::int64_t> changed = floats;
  for (std::size_t i = 0; i < floats.size(); ++i)
    if (floats[i] > 0 && feeds_head(network, static_cast<int>(i)))
      changed[i] = head_floats(network, static_cast<int>(i), floats[i], classes);
  return changed;
}

// The payload with the other header size: four bytes of `seen` more or less. Empty when it cannot be.
std::vector<float> other_header(const io::DarknetWeights& weights) {
  if (weights.header.bytes == 20) {
    std::vector<float> payload{std::bit_cast<float>(static_cast<std::uint32_t>(weights.header.seen >> 32))};
    payload.insert(payload.end(), weights.payload.begin(), weights.payload.end());
    return payload;
  }
  if (weights.payload.empty()) return {};
  return {weights.payload.begin() + 1, weights.payload.end()};
}

// K,R,S,C in memory <-> K,C,R,S in the file.
template <class Visit>
void for_each_weight(const ParamSpec& spec, Visit visit) {
  const std::int64_t k = spec.shape[0], taps = spec.shape[1] * spec.shape[2], c = spec.shape[3];
  for (std::int64_t f = 0; f < k; ++f)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t ch = 0; ch < c; ++ch) visit((f * taps + tap) * c + ch, (f * c + ch) * taps + tap);
}

void read_layer(const Network& network, Params& params, int layer, const float* from, const std::string& file) {
  for (const ParamSpec& spec : network.graph.nodes()[layer].op->params()) {
    const Param& param = *params.find(layer, spec.role);
    const std::span<float> to = params.value(param);
    if (spec.role == ParamRole::weights) {
      for_each_weight(spec, [&](std::int64_t ours, std::int64_t theirs) { to[ours] = from[theirs]; });
    } else {
      std::copy_n(from, spec.count(), to.begin());
    }
    if (spec.role == ParamRole::rolling_variance)
      for (std::int64_t i = 0; i < spec.count(); ++i)
        if (!(to[i] >= 0))
          throw Error(
              fmt::format("{}: layer {} has variance {} at channel {}: the file belongs to another network (its floats "
                          "are shifted)",
                          file, network.graph.nodes()[layer].name, to[i], i));
    from += spec.count();
  }
}

ImportReport read_all(const Network& network, Params& params, const std::vector<float>& payload,
                      const std::vector<std::int64_t>& file_floats, const std::vector<std::int64_t>& floats,
                      const std::string& file) {
  ImportReport report;
  std::int64_t at = 0;
  for (int layer = 0; layer < network.graph.size(); ++layer) {
    const std::int64_t count = file_floats[layer];
    if (count == 0) continue;
    if (at + count > static_cast<std::int64_t>(payload.size()) || count != floats[layer]) {
      report.skipped.push_back(layer);
    } else {
      read_layer(network, params, layer, payload.data() + at, file);
      report.layers = layer + 1;
    }
    at += count;
  }
  return report;
}

[[noreturn]] void refuse(const Network& network, const std::vector<std::int64_t>& floats,
                         const io::DarknetWeights& weights) {
  const std::int64_t have = static_cast<std::int64_t>(weights.payload.size());
  std::string text = fmt::format(
      "{}: holds {} floats ({} bytes after its {}-byte header), {} needs {}; no class count and no cut at a layer "
      "boundary explains the difference. Where the file would end:",
      weights.file, have, have * 4, weights.header.bytes, network.cfg.name, sum_of(floats));
  std::int64_t at = 0;
  for (int layer = 0; layer < network.graph.size(); ++layer) {
    if (floats[layer] == 0) continue;
    const bool inside = at <= have && have < at + floats[layer];
    const std::int64_t begin = weights.header.bytes + at * 4;
    if (inside || at + floats[layer] >= have || layer + 1 == network.graph.size())
      text += fmt::format("\n  layer {}: bytes {} to {}{}", network.graph.nodes()[layer].name, begin,
                          begin + floats[layer] * 4,
                          inside ? fmt::format(", the file ends {} bytes into it", (have - at) * 4) : " are missing");
    at += floats[layer];
  }
  if (at < have) text += fmt::format("\n  after the last layer {} bytes are left over", (have - at) * 4);
  text += "\n  take the cfg these weights were trained with";
  throw Error(text);
}

}  // namespace

std::string ImportReport::text() const {
  switch (kind) {
    case ImportKind::exact:
      return fmt::format("all layers loaded");
    case ImportKind::partial:
      return fmt::format("layers 0..{} loaded, {} layers with parameters start at random", layers - 1, skipped.size());
    case ImportKind::other_classes:
      return fmt::format(
          "weights of {} classes: all layers loaded but the {} convolutions before the heads, which start at random",
          file_classes, skipped.size());
  }
  return "";
}

ImportReport import_darknet(const Network& network, Params& params, const io::DarknetWeights& weights) {
  const std::vector<std::int64_t> floats = layer_floats(network);
  const auto size = [](const std::vector<float>& payload) { return static_cast<std::int64_t>(payload.size()); };
  if (size(weights.payload) == sum_of(floats))
    return read_all(network, params, weights.payload, floats, floats, weights.file);
  const std::vector<float> shifted = other_header(weights);
  if (size(shifted) == sum_of(floats)) return read_all(network, params, shifted, floats, floats, weights.file);
  std::int64_t prefix = 0;
  for (int layer = 0; layer < network.graph.size(); ++layer) {
    prefix += floats[layer];
    if (floats[layer] == 0 || prefix != size(weights.payload)) continue;
    ImportReport report = read_all(network, params, weights.payload, floats, floats, weights.file);
    report.kind = ImportKind::partial;
    return report;
  }
  for (int classes = 1; classes <= 10000 && !network.heads.empty(); ++classes) {
    const auto other = with_classes(network, floats, classes);
    if (sum_of(other) != size(weights.payload)) continue;
    ImportReport report = read_all(network, params, weights.payload, other, floats, weights.file);
    report.kind = ImportKind::other_classes;
    report.file_classes = classes;
    return report;
  }
  refuse(network, floats, weights);
}

io::DarknetWeights export_darknet(const Network& network, const Params& params, int layers) {
  io::DarknetWeights weights;
  weights.file = network.cfg.name;
  const int end = layers < 0 ? network.graph.size() : layers;
  if (end > network.graph.size())
    throw Error(fmt::format("{} has {} layers, not {}", network.cfg.name, network.graph.size(), end));
  for (int layer = 0; layer < end; ++layer) {
    const Op* op = network.graph.nodes()[layer].op.get();
    if (!op) continue;
    for (const ParamSpec& spec : op->params()) {
      const std::span<const float> from = params.value(*params.find(layer, spec.role));
      const std::size_t at = weights.payload.size();
      weights.payload.resize(at + static_cast<std::size_t>(spec.count()));
      if (spec.role == ParamRole::weights) {
        for_each_weight(spec,
                        [&](std::int64_t ours, std::int64_t theirs) { weights.payload[at + theirs] = from[ours]; });
      } else {
        std::copy(from.begin(), from.end(), weights.payload.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }
  return weights;
}

}  // namespace rook
