#include "kernels/names.h"

#include <array>

namespace rook {
namespace {

// In the order of the enumerations.
constexpr std::array<const char*, 5> kDTypeNames = {"u8", "f32", "f64", "bf16", "f16"};
constexpr std::array<const char*, kActivations> kActivationNames = {
    "linear", "leaky", "relu", "relu6", "logistic", "loggy", "mish",  "swish",   "hard_mish", "tanh",
    "elu",    "selu",  "gelu", "relie", "ramp",     "plse",  "stair", "hardtan", "lhtan"};
constexpr std::array<const char*, 3> kChannelNormNames = {"normalize_channels", "normalize_channels_softmax",
                                                          "normalize_channels_softmax_maxval"};
constexpr std::array<const char*, 4> kIouKindNames = {"iou", "giou", "diou", "ciou"};
constexpr std::array<const char*, 5> kBoxLossNames = {"mse", "iou", "giou", "diou", "ciou"};
static_assert(kDTypeNames.size() == static_cast<std::size_t>(DType::f16) + 1);

template <class Enum, std::size_t Count>
const char* name_in(const std::array<const char*, Count>& names, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  return index < Count ? names[index] : "invalid";
}

template <class Enum, std::size_t Count>
std::optional<Enum> find_in(const std::array<const char*, Count>& names, std::string_view name) {
  for (std::size_t i = 0; i < Count; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

const char* name_of(DType type) {
  return name_in(kDTypeNames, type);
}
const char* name_of(Activation activation) {
  return name_in(kActivationNames, activation);
}

std::optional<Activation> activation_from_name(std::string_view name) {
  return find_in<Activation>(kActivationNames, name);
}
std::optional<ChannelNorm> channel_norm_from_name(std::string_view name) {
  return find_in<ChannelNorm>(kChannelNormNames, name);
}
std::optional<DType> dtype_from_name(std::string_view name) {
  return find_in<DType>(kDTypeNames, name);
}
std::optional<BoxLoss> box_loss_from_name(std::string_view name) {
  return find_in<BoxLoss>(kBoxLossNames, name);
}
std::optional<IouKind> iou_kind_from_name(std::string_view name) {
  return find_in<IouKind>(kIouKindNames, name);
}
const char* name_of(BoxLoss loss) {
  return name_in(kBoxLossNames, loss);
}

}  // namespace rook
