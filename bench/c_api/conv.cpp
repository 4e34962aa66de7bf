// Convolution in C: the rows of the table of kernels/conv.h.
#include <algorithm>

#include "bench/c_api/call.h"
#include "engine/conv_table.h"

namespace rook::c_api {
namespace {

ConvProblem problem_of(const rook_conv_problem& c) {
  const ConvProblem problem{.direction = enumerator(c.direction, ConvDirection::wgrad, "conv: direction"),
                            .geometry = {.c = c.c,
                                         .k = c.k,
                                         .r = c.r,
                                         .s = c.s,
                                         .stride_h = c.stride_h,
                                         .stride_w = c.stride_w,
                                         .pad_h = c.pad_h,
                                         .pad_w = c.pad_w,
                                         .dilation = c.dilation,
                                         .groups = c.groups},
                            .n = c.n,
                            .h = c.h,
                            .w = c.w,
                            .pitch_x = c.pitch_x,
                            .pitch_y = c.pitch_y,
                            .x = dtype(c.x),
                            .y = dtype(c.y),
                            .bias = c.bias != 0,
                            .activation = activation(c.activation)};
  // Rows take a sound geometry for granted.
  if (std::min({c.c, c.k, c.r, c.s, c.stride_h, c.stride_w, c.dilation, c.groups, c.n, c.h, c.w}) < 1 ||
      std::min(c.pad_h, c.pad_w) < 0)
    throw Error("conv: an extent, stride, dilation or number of groups is below 1, or a padding below 0");
  if ((c.pitch_x != 0 && c.pitch_x < c.c) || (c.pitch_y != 0 && c.pitch_y < c.k))
    throw Error(
        fmt::format("conv: pitches {} and {} are below the {} and {} channels", c.pitch_x, c.pitch_y, c.c, c.k));
  if (c.c % c.groups || c.k % c.groups)
    throw Error(fmt::format("conv: {} groups do not divide {} input and {} output channels", c.groups, c.c, c.k));
  if (c.h + 2 * c.pad_h < c.r || c.w + 2 * c.pad_w < c.s)
    throw Error(fmt::format("conv: the {}x{} filter is larger than the padded {}x{} input", c.r, c.s, c.h, c.w));
  return problem;
}

const ConvRow& row_of(const Backend& backend, const ConvProblem& problem, const char* name) {
  if (!name) return ConvTable(backend).choose(problem);
  for (const ConvRow& row : backend.conv_rows()) {
    if (row.name != name) continue;
    if (!row.supports(problem))
      throw Error(fmt::format("conv: {} does not support this problem ({}, {})", name, name_of(problem.direction),
                              name_of(problem.x)));
    return row;
  }
  throw Error(fmt::format("conv: there is no implementation {} on {}; rook_conv_row() lists them", name, backend.name));
}

}  // namespace
}  // namespace rook::c_api

using rook::c_api::Call;
using rook::c_api::guarded;
using rook::c_api::problem_of;
using rook::c_api::required;
using rook::c_api::row_of;

const char* rook_conv_row(rook_device device, int32_t index) {
  const char* name = nullptr;
  guarded([&] {
    const auto rows = rook::c_api::backend_of(device).conv_rows();
    if (index >= 0 && static_cast<std::size_t>(index) < rows.size())
      name = rows[static_cast<std::size_t>(index)].name.data();
  });
  return name;
}

rook_status rook_conv_plan_for(const rook_conv_problem* problem, const char* row, rook_stream stream,
                               rook_conv_plan* plan) {
  return guarded([&] {
    const Call call(stream);
    required(plan, "conv: plan");
    const auto wanted = problem_of(required(problem, "conv: problem"));
    const auto& found = row_of(call.backend(), wanted, row);
    const bool packs = wanted.direction != rook::ConvDirection::wgrad;
    *plan = {found.name.data(), packs ? found.packed_bytes(wanted) : 0, found.workspace(wanted)};
  });
}

rook_status rook_conv_pack(const rook_conv_problem* problem, const rook_conv_plan* plan, const float* weights,
                           void* packed, rook_stream stream) {
  return guarded([&] {
    const Call call(stream);
    const auto wanted = problem_of(required(problem, "conv: problem"));
    const auto& row = row_of(call.backend(), wanted, required(plan, "conv: plan").row);
    if (wanted.direction == rook::ConvDirection::wgrad) throw rook::Error("conv: wgrad reads no weights to pack");
    required(weights, "conv: weights");
    required(static_cast<const char*>(packed), "conv: packed");
    row.pack(wanted, weights, packed, call.stream());
  });
}

rook_status rook_conv(const rook_conv_problem* problem, const rook_conv_plan* plan, const rook_conv_args* args,
                      rook_stream stream) {
  return guarded([&] {
    const Call call(stream);
    const auto wanted = problem_of(required(problem, "conv: problem"));
    const auto& row = row_of(call.backend(), wanted, required(plan, "conv: plan").row);
    const rook_conv_args& a = required(args, "conv: args");
    const rook::ConvArgs values{.x = call.tensor(a.x),
                                .y = call.tensor(a.y),
                                .weights = a.weights,
                                .bias = a.bias,
                                .dweights = a.dweights,
                                .dbias = a.dbias,
                                .mode = rook::c_api::grad(a.mode),
                                .workspace = a.workspace};
    check_conv(wanted, values);
    if (wanted.bias && wanted.direction == rook::ConvDirection::fprop) required(a.bias, "conv: bias");
    row.run(wanted, values, call.stream());
  });
}
