#include "kernels/cpu/conv_rows.h"

#include <vector>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_onednn.h"
#include "kernels/cpu/conv_sliced.h"
#include "kernels/cpu/conv_winograd.h"

namespace rook::cpu {

// First Winograd and our direct sums, which say no where they would be slower.
const std::array<ConvRow, kDenseConvRows>& dense_conv_rows() {
  static const std::array<ConvRow, kDenseConvRows> rows{winograd::conv_row(4), winograd::conv_row(2),
                                                        direct::conv_row(), onednn::conv_row()};
  return rows;
}

// Last the reference loops, so that every problem runs (oneDNN refuses negative paddings of odd dilated shapes).
std::span<const ConvRow> conv_rows() {
  static const auto rows = [] {
    std::vector<ConvRow> all;
    const auto append = [&all](const auto& some) { all.insert(all.end(), some.begin(), some.end()); };
    append(dense_conv_rows());
    append(sliced::conv_rows());
    append(ref::conv_rows());
    return all;
  }();
  return rows;
}

}  // namespace rook::cpu
