// Argument checks of the operations that move pixels about (pooling, upsampling, reorg) and of dropout, shared by all
// devices. Each throws Error when shapes, types or parameters do not fit; outputs that `mode` leaves alone are not
// looked at.
#pragma once

#include "kernels/ops.h"

namespace rook {

void check_args(const MaxPoolForward& args);
void check_args(const MaxPoolBackward& args);
void check_args(const LocalAvgPoolForward& args);
void check_args(const LocalAvgPoolBackward& args);
void check_args(const AvgPoolForward& args);
void check_args(const AvgPoolBackward& args);
void check_args(const UpsampleForward& args);
void check_args(const UpsampleBackward& args);
void check_args(const Reorg& args);
void check_args(const Dropout& args);

// Where the first window of a pool begins, in rows and columns before the image (darknet.md 1.5 "maxpool").
inline int pool_offset(const PoolGeometry& geometry) {
  return geometry.padding / 2;
}

}  // namespace rook
