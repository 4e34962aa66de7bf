#include "engine/device_params.h"

namespace rook {

DeviceParams::DeviceParams(Params& params, const DeviceRuntime& runtime)
    : params_(params), runtime_(runtime), values_(runtime), gradients_(runtime) {}

float* DeviceParams::values() {
  if (runtime_.host_memory) return params_.values().data();
  if (!values_.data()) {
    values_.reserve(params_.values().size_bytes());
    upload({});
  }
  return values_.as<float>();
}

float* DeviceParams::gradients() {
  if (runtime_.host_memory) return params_.gradients().data();
  gradients_.reserve(static_cast<std::size_t>(params_.trainable()) * sizeof(float));
  return gradients_.as<float>();
}

void DeviceParams::upload(Stream stream) {
  if (runtime_.host_memory) return;
  runtime_.copy(values(), params_.values().data(), params_.values().size_bytes(), stream);
  runtime_.synchronize(stream);
}

void DeviceParams::download(Stream stream) {
  if (runtime_.host_memory) return;
  runtime_.copy(params_.values().data(), values(), params_.values().size_bytes(), stream);
  runtime_.synchronize(stream);
}

}  // namespace rook
