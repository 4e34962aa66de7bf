// A build without the emulator.
#include "engine/backend.h"

namespace rook {

const Backend* emu_backend() {
  return nullptr;
}

}  // namespace rook
