// One axis of a convolution seen from what is written: which source coordinates an output coordinate gathers from, and
// through which taps of the filter. The same form for fprop (source x, output y) and dgrad (source dy, output dx), so
// that one kernel does both.
#pragma once

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace rook {

// dgrad with a stride: dx[i] gets from dy[o] through tap r when i = o stride + (r - pad) dilation. Which taps fit
// depends on i mod stride only, its phase, and they are evenly spaced. So outputs are taken phase by phase; fprop has
// one.
struct GatherAxis {
  int count;                      // outputs of this phase
  int out_first, out_step;        // coordinate of output i: out_first + i out_step
  int source_first, source_step;  // source coordinate of output i through the first tap: source_first + i source_step
  int taps;                       // that reach this phase
  int tap_first, tap_step;        // row (or column) in the filter of tap j: tap_first + j tap_step
  int tap_source_step;            // tap j: j tap_source_step further on in the source
};

// Extents along one axis.
struct AxisProblem {
  int in, out;  // of x and y
  int filter, stride, pad, dilation;
};

ROOK_HOST_DEVICE inline AxisProblem axis_down(const ConvGeometry& g, int h, int p) {
  return {h, p, g.r, g.stride_h, g.pad_h, g.dilation};
}
ROOK_HOST_DEVICE inline AxisProblem axis_across(const ConvGeometry& g, int w, int q) {
  return {w, q, g.s, g.stride_w, g.pad_w, g.dilation};
}

ROOK_HOST_DEVICE inline GatherAxis fprop_axis(const AxisProblem& a) {
  return {.count = a.out,
          .out_first = 0,
          .out_step = 1,
          .source_first = -a.pad * a.dilation,
          .source_step = a.stride,
          .taps = a.filter,
          .tap_first = 0,
          .tap_step = 1,
          .tap_source_step = a.dilation};
}

ROOK_HOST_DEVICE inline GatherAxis dgrad_axis(const AxisProblem& a, int phase) {
  int divisor = a.dilation;  // greatest common divisor of dilation and stride
  for (int rest = a.stride; rest != 0;) {
    const int next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  const int tap_step = a.stride / divisor;
  int first = 0;
  while (first < tap_step && (phase + (a.pad - first) * a.dilation) % a.stride != 0) ++first;
  const bool reached = first < tap_step && first < a.filter;
  return {.count = (a.in - phase + a.stride - 1) / a.stride,
          .out_first = phase,
          .out_step = a.stride,
          .source_first = reached ? (phase + (a.pad - first) * a.dilation) / a.stride : 0,
          .source_step = 1,
          .taps = reached ? (a.filter - first + tap_step - 1) / tap_step : 0,
          .tap_first = first,
          .tap_step = tap_step,
          .tap_source_step = -a.dilation / divisor};
}

}  // namespace rook
