// Argument checks of the head's operations, shared by all devices. Each throws Error in one line.
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
