// The layers of darknet.md 1.5 as ops: one factory each, taking what the cfg says about it.
#pragma once

#include <memory>
#include <vector>

#include "engine/op.h"

namespace rook {

struct ConvolutionSpec {
  int filters = 1;
  int size = 1;
  int stride_h = 1, stride_w = 1;
  int padding = 0;
  int dilation = 1;
  int groups = 1;
  bool batch_normalize = false;
  Activation activation = Activation::linear;
  int channels = 0;  // of the input
  float bn_eps = 1e-5f;
};

// Convolution, then batch norm or bias, then the activation. In inference and where frozen the batch norm is folded
// into weights and bias and the activation fused where the implementation can.
std::unique_ptr<Op> make_convolution(const ConvolutionSpec& spec);
std::unique_ptr<Op> make_batchnorm(int channels, float eps);
std::unique_ptr<Op> make_activation(Activation activation);
std::unique_ptr<Op> make_maxpool(const PoolGeometry& geometry);
std::unique_ptr<Op> make_local_avgpool(const PoolGeometry& geometry);
std::unique_ptr<Op> make_avgpool();
std::unique_ptr<Op> make_upsample(int stride, float scale);
// Channels [group_id c / groups, + c / groups) of each input, one after the other.
std::unique_ptr<Op> make_route(int inputs, int groups, int group_id);
// Sum of the inputs (darknet.md: surplus channels ignored), then the activation.
std::unique_ptr<Op> make_shortcut(Activation activation);
// Inputs: gate (previous layer), features (`from`).
std::unique_ptr<Op> make_scale_channels(Activation activation, bool per_pixel);
// Inputs: previous layer, `from`.
std::unique_ptr<Op> make_sam(Activation activation);
std::unique_ptr<Op> make_dropout(float probability);
std::unique_ptr<Op> make_reorg(int stride, bool legacy, bool reverse);
std::unique_ptr<Op> make_softmax(int groups, float temperature);
// `layer`, then its channels normalised per pixel.
std::unique_ptr<Op> make_normalize_channels(std::unique_ptr<Op> layer, ChannelNorm norm);
std::unique_ptr<Op> make_empty();

}  // namespace rook
