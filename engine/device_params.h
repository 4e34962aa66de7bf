// The parameters in the memory of the device that runs a network. On the CPU they are the host's own.
#pragma once

#include "engine/params.h"

namespace rook {

class DeviceParams {
 public:
  DeviceParams(Params& params, const DeviceRuntime& runtime);

  // Made and filled from the host's at the first call.
  float* values();
  float* gradients();  // zeroed at the first call

  // Host to device, in the order of the stream; returns when the host's memory may change again.
  void upload(Stream stream);
  // Device to host, when everything before in the stream is done.
  void download(Stream stream);

 private:
  Params& params_;
  const DeviceRuntime& runtime_;
  Arena values_, gradients_;
};

}  // namespace rook
