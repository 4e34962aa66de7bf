// Names of enumerations in messages, cfg files and on the command line, and the way back.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/ops.h"

namespace rook {

// The activation of that cfg name ("leaky", "mish", ...); nothing when rook has none of that name.
std::optional<Activation> activation_from_name(std::string_view name);

// Of those that look at all channels of a pixel ("normalize_channels", ...).
std::optional<ChannelNorm> channel_norm_from_name(std::string_view name);

// The dtype of that name ("f32", "bf16", ...); nothing when there is none.
std::optional<DType> dtype_from_name(std::string_view name);

// The box loss of that name ("ciou", ...), and the way back. Measures of overlap have the same names, but for mse.
std::optional<BoxLoss> box_loss_from_name(std::string_view name);
std::optional<IouKind> iou_kind_from_name(std::string_view name);
const char* name_of(BoxLoss loss);

}  // namespace rook
