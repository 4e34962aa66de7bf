// The table of convolutions on a GPU: the special before the general, the fast before the plain.
#include "kernels/conv_rows.h"

#include <array>

namespace rook::ROOK_GPU {

std::span<const ConvRow> conv_rows() {
  static const std::array rows{depthwise_row(), first_row(), direct_row()};
  return rows;
}

}  // namespace rook::ROOK_GPU
