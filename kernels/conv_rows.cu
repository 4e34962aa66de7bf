// The table of convolutions on a GPU: the special before the general, the fast before the plain.
#include "kernels/conv_rows.h"

#include <vector>

#include "kernels/conv_mma.h"

namespace rook::ROOK_GPU {

std::span<const ConvRow> conv_rows() {
  static const std::vector<ConvRow> kRows = [] {
    std::vector<ConvRow> rows{depthwise_row(), first_row()};
    const std::span<const ConvRow> mma = conv_mma_rows();
    rows.insert(rows.end(), mma.begin(), mma.end());
    rows.push_back(direct_row());
    return rows;
  }();
  return kRows;
}

}  // namespace rook::ROOK_GPU
