// How a convolution becomes a matrix product on tensor cores: geometry, tile and split. Host code but for the two small
// structs that kernels read.
//
//   fprop, dgrad: [pixels, taps * channels] x [taps * channels, outputs]. Pixels of the destination see pixels of the
//                 source through the taps of the filter (kernels/conv_axis.h).
//   wgrad:        [filters, pixels] x [pixels, taps * channels].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/conv.h"
#include "kernels/conv_axis.h"
#include "kernels/host_device.h"

namespace rook {

// Division of 0 <= n < 2^31 by a fixed divisor with one multiplication (Granlund and Montgomery, "Division by invariant
// integers using multiplication", 1994, figure 4.1).
class FastDivision {
 public:
  FastDivision() = default;
  explicit FastDivision(int divisor);
  ROOK_HOST_DEVICE int divide(int n) const {
    const std::uint64_t product = static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)) * multiplier_;
    return static_cast<int>((static_cast<std::uint32_t>(product >> 32) + static_cast<std::uint32_t>(n)) >> shift_);
  }

 private:
  std::uint32_t multiplier_ = 1, shift_ = 0;
};

struct MmaAxis {
  GatherAxis gather;
  FastDivision by_count, by_taps;
};

// Strides up to this have their phases listed in the arguments of a kernel.
inline constexpr int kMaxMmaStride = 4;

// The axis of fprop, or those of all phases of dgrad, with most taps first: the longest work begins earliest.
struct MmaAxes {
  std::array<MmaAxis, kMaxMmaStride> axis;
  int count = 0;
};
MmaAxes mma_axes_down(const ConvProblem& problem);
MmaAxes mma_axes_across(const ConvProblem& problem);

// 16 bytes of bf16 or f16 are copied at once: channels are padded to this.
inline constexpr int kMmaChunk = 8;
constexpr int padded_channels(int channels) {
  return (channels + kMmaChunk - 1) / kMmaChunk * kMmaChunk;
}

// Tiles by the two sides of the product: pixels x outputs (wgrad: taps * channels x filters), and the depth of a step.
enum class MmaTile : std::uint8_t { t128x128, t128x64, t128x32, t64x64, t64x32 };
struct MmaTileSize {
  std::string_view name;  // of the row that always takes it
  int rows, columns, depth;
};
inline constexpr std::array<MmaTileSize, 5> kMmaTiles{{{"mma-128x128", 128, 128, 32},
                                                       {"mma-128x64", 128, 64, 32},
                                                       {"mma-128x32", 128, 32, 32},
                                                       {"mma-64x64", 64, 64, 64},
                                                       {"mma-64x32", 64, 32, 64}}};
constexpr const MmaTileSize& size_of(MmaTile tile) {
  return kMmaTiles[static_cast<std::size_t>(tile)];
}

struct MmaPlan {
  MmaTile tile = MmaTile::t64x32;
  int splits = 1;  // parts of the reduction that are computed apart and then added in order
};

// The rule: tiles 32 wide for up to 32 outputs, 64 wide for up to 64, else 128 or 64; of those the largest that gives
// every multiprocessor of an H100 a block (wgrad: the largest that is not larger than the product); where there are
// fewer blocks, the reduction is split until there are about two blocks for each. The same on every device, so that the
// bits of a result are the same too.
MmaPlan plan_mma(const ConvProblem& problem, std::optional<MmaTile> forced = {});

// Groups of 1, 16-bit activations (fprop may write f32), sizes that fit the kernels' integers.
bool mma_supports(const ConvProblem& problem);

}  // namespace rook
