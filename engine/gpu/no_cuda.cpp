// A build without CUDA.
#include "engine/backend.h"

namespace rook {

const Backend* cuda_backend() {
  return nullptr;
}

}  // namespace rook
