// Values of a device as floats of the host.
#pragma once

#include <vector>

#include "engine/executor.h"

namespace rook {

// The elements of a tensor of the executor, in the order n, h, w, c, after what its stream still has to do.
std::vector<float> floats_of(const Tensor& tensor, const Executor& executor);

}  // namespace rook
