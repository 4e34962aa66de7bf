// Argument checks of the head's operations, shared by all devices. Each throws Error in one line. What lies in a GPU's
// memory is looked at only on the CPU; neither is the device that a tensor names, as a GPU also reads pinned memory.
#pragma once

#include <initializer_list>

#include "kernels/ops.h"

namespace rook {

// `logits` are the storage types that the device takes; `gradients` those of dlogits.
void check_head_decode(const HeadDecode& args, Device device, std::initializer_list<DType> logits);
void check_nms(const Nms& args);
void check_yolo_loss(const YoloLoss& args, Device device, std::initializer_list<DType> logits,
                     std::initializer_list<DType> gradients);

}  // namespace rook
