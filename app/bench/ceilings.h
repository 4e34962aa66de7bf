// What the device can do at best, measured before anything is compared with it.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/bench/timing.h"
#include "kernels/types.h"

namespace rook::app {

struct Ceilings {
  double copy_bytes_per_s = 0;  // read and written together
  std::map<DType, double> flops_per_s;
  std::map<DType, std::string> product_by;  // the row of the conv table that reached it

  // Seconds below which no run of these costs can come, unless its data lies in a cache.
  double seconds(double flops, double bytes, DType type) const;
  nlohmann::json json() const;
};

// The largest copy, and the matrix product (a 1x1 convolution) by the fastest row of the table, in these types.
Ceilings measure_ceilings(const Backend& backend, Stream stream, const std::vector<DType>& types,
                          const TimingLimits& limits);

}  // namespace rook::app
