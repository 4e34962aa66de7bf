#include "model/network.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/cfg_check.h"
#include "kernels/names.h"
#include "model/heads.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

using io::CfgSection;
using io::place_of;

Activation activation_of(const CfgSection& section, std::string_view fallback) {
  const std::string name = section.text("activation", fallback);
  if (name == "rev_leaky" || name == "revleaky") return Activation::leaky;  // darknet computes it so
  const auto activation = activation_from_name(name);
  if (!activation) throw Error(fmt::format("{}activation={} is not supported", place_of(section, "activation"), name));
  return *activation;
}

// The layer that `make` makes of an activation; one that looks at all channels of a pixel is a step after it.
template <class Make>
std::unique_ptr<Op> activated(const CfgSection& section, std::string_view fallback, Make make) {
  if (const auto norm = channel_norm_from_name(section.text("activation", fallback)))
    return make_normalize_channels(make(Activation::linear), *norm);
  return make(activation_of(section, fallback));
}

// Keys that change what is computed and that rook does not have: refused rather than ignored.
void refuse(const CfgSection& section, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (section.has(key) && section.text(key, "0") != "0" && section.text(key, "none") != "none")
      throw Error(fmt::format("{}{}={} is not supported", place_of(section, key), key, section.text(key, "")));
}

class Builder {
 public:
  explicit Builder(const io::Cfg& cfg) : cfg_(cfg) {}

  std::unique_ptr<Network> run() {
    const CfgSection& net = cfg_.net();
    const int width = net.integer("width", 0), height = net.integer("height", 0), channels = net.integer("channels", 3);
    network_ = std::make_unique<Network>(Network{.cfg = cfg_, .graph = Graph({height, width, channels}), .heads = {}});
    network_->width = width;
    network_->height = height;
    network_->channels = channels;
    network_->letter_box = net.integer("letter_box", 0) != 0;
    for (int i = 0; i < cfg_.layers(); ++i) add(i);
    finish_heads(*network_);
    return std::move(network_);
  }

 private:
  void add(int index) {
    const CfgSection& section = cfg_.layer(index);
    const std::string name = fmt::format("{} [{}] ({}:{})", index, section.type, section.file, section.line);
    if (section.type == "yolo" || section.type == "Gaussian_yolo" || section.type == "region") {
      // Others cannot write the wide logits that heads read, and there would be no filters to fit to the classes.
      const std::string before = index == 0 ? "nothing" : fmt::format("[{}]", cfg_.layer(index - 1).type);
      if (before != "[convolutional]")
        throw Error(fmt::format("{}a head must follow a [convolutional] layer; before this one is {}",
                                place_of(section), before));
      network_->heads.push_back(read_head(section, index, network_->graph.nodes()[index - 1].output));
      network_->graph.add_head(index - 1, name);
      return;
    }
    std::vector<int> inputs = inputs_of(section, index);
    std::unique_ptr<Op> op;
    try {
      op = make(section, inputs);
    } catch (const Error& error) {
      throw Error(std::string(error.what()).starts_with(section.file)
                      ? error.what()
                      : fmt::format("{}{}", place_of(section), error.what()));
    }
    network_->graph.add(std::move(op), std::move(inputs), name);
  }

  Shape shape_of(int node) const {
    return node == kNetworkInput ? network_->graph.input()
                                 : network_->graph.nodes()[static_cast<std::size_t>(node)].output;
  }

  // A reference to another layer: negative counts back from here, others count from the first layer.
  int resolve(const CfgSection& section, int value, int index) const {
    const int node = value < 0 ? index + value : value;
    if (node < 0 || node >= index)
      throw Error(
          fmt::format("{}refers to layer {}, which does not come before layer {}", place_of(section), value, index));
    return node;
  }

  std::vector<int> inputs_of(const CfgSection& section, int index) const {
    std::vector<int> inputs;
    if (section.type == "route") {
      for (const int value : section.integers("layers")) inputs.push_back(resolve(section, value, index));
      if (inputs.empty()) throw Error(fmt::format("{}layers= names no layer", place_of(section, "layers")));
      return inputs;
    }
    inputs.push_back(index - 1);
    if (section.type == "shortcut" || section.type == "scale_channels" || section.type == "sam") {
      for (const int value : section.integers("from")) inputs.push_back(resolve(section, value, index));
      if (inputs.size() < 2) throw Error(fmt::format("{}from= names no layer", place_of(section, "from")));
      if (section.type != "shortcut" && inputs.size() > 2)
        throw Error(fmt::format("{}from= takes one layer", place_of(section, "from")));
      if (index == 0) throw Error(fmt::format("{}there is no layer before it", place_of(section)));
    }
    return inputs;
  }

  std::unique_ptr<Op> make(const CfgSection& s, const std::vector<int>& inputs) const {
    if (s.type == "convolutional") return convolutional(s, shape_of(inputs[0]).c);
    if (s.type == "maxpool") {
      refuse(s, {"maxpool_depth", "antialiasing", "maxpool_zero_nonmax"});
      return make_maxpool(pool_geometry(s));
    }
    if (s.type == "local_avgpool") return make_local_avgpool(pool_geometry(s));
    if (s.type == "avgpool") return make_avgpool();
    if (s.type == "upsample") return make_upsample(s.integer("stride", 2), s.number("scale", 1));
    if (s.type == "route")
      return make_route(static_cast<int>(inputs.size()), s.integer("groups", 1), s.integer("group_id", 0));
    if (s.type == "shortcut") {
      refuse(s, {"weights_type"});
      return activated(s, "linear", make_shortcut);
    }
    if (s.type == "scale_channels")
      return activated(s, "linear",
                       [&](Activation a) { return make_scale_channels(a, s.integer("scale_wh", 0) != 0); });
    if (s.type == "sam") return activated(s, "linear", make_sam);
    if (s.type == "dropout") {
      refuse(s, {"dropblock"});
      return make_dropout(s.number("probability", 0.2f));
    }
    if (s.type == "reorg" || s.type == "reorg3d") {
      // darknet's two layers share one routine that they call with input and output sizes exchanged: reversed, each is
      // the inverse of the other's map.
      const bool reverse = s.integer("reverse", 0) != 0;
      return make_reorg(s.integer("stride", 1), (s.type == "reorg") != reverse, reverse);
    }
    if (s.type == "softmax") {
      refuse(s, {"tree", "spatial"});
      return make_softmax(s.integer("groups", 1), s.number("temperature", 1));
    }
    if (s.type == "activation") return activated(s, "linear", make_activation);
    if (s.type == "batchnorm") return make_batchnorm(shape_of(inputs[0]).c, bn_eps());
    if (s.type == "empty") return make_empty();
    throw Error(fmt::format("{}this layer type is not supported by rook (it has the layers of detection networks)",
                            place_of(s)));
  }

  static PoolGeometry pool_geometry(const CfgSection& s) {
    const int stride = s.integer("stride", 1);
    const int size = s.integer("size", stride);
    return {.size_h = size,
            .size_w = size,
            .stride_h = stride_of(s, "stride_y", stride),
            .stride_w = stride_of(s, "stride_x", stride),
            .padding = s.integer("padding", size - 1)};
  }

  // stride_x, stride_y: below 1 they stand for `stride`.
  static int stride_of(const CfgSection& s, const char* key, int stride) {
    const int value = s.integer(key, -1);
    return value < 1 ? stride : value;
  }

  std::unique_ptr<Op> convolutional(const CfgSection& s, int channels) const {
    refuse(s, {"cbn", "antialiasing", "flipped", "dot", "binary", "xnor", "bin_output", "share_index",
               "assisted_excitation", "deform", "sway", "rotate", "stretch", "stretch_sway", "coordconv", "reverse"});
    const int stride = s.integer("stride", 1);
    const int size = s.integer("size", 1);
    ConvolutionSpec spec{.filters = s.integer("filters", 1),
                         .size = size,
                         .stride_h = stride_of(s, "stride_y", stride),
                         .stride_w = stride_of(s, "stride_x", stride),
                         .padding = s.integer("pad", 0) ? size / 2 : s.integer("padding", 0),
                         .dilation = s.integer("dilation", 1),
                         .groups = s.integer("groups", 1),
                         .batch_normalize = s.integer("batch_normalize", 0) != 0,
                         .channels = channels,
                         .bn_eps = bn_eps()};
    return activated(s, "logistic", [&](Activation activation) {
      spec.activation = activation;
      return make_convolution(spec);
    });
  }

  float bn_eps() const { return cfg_.net().number("bn_eps", 1e-5f); }

  const io::Cfg& cfg_;
  std::unique_ptr<Network> network_;
};

}  // namespace

std::unique_ptr<Network> build_network(const io::Cfg& cfg) {
  return Builder(cfg).run();
}

}  // namespace rook
