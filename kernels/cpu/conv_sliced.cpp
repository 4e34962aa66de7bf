#include "kernels/cpu/conv_sliced.h"

#include "kernels/ops.h"

namespace rook::cpu::sliced {
namespace {

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

ConvProblem dense_problem(ConvProblem problem) {
  problem.pitch_x = problem.pitch_y = 0;
  return problem;
}

// The row that computes. Of rows of the table none but this one refuses dense tensors.
const ConvRow& inner_row(const ConvProblem& problem) {
  const ConvProblem dense = dense_problem(problem);
  const auto rows = conv_rows();
  for (const ConvRow& row : rows)
    if (row.supports(dense)) return row;
  return rows.back();
}

// Where things lie in the workspace, in bytes: dense copies of those that are not, then what the inner row wants.
struct Workspace {
  std::size_t x = 0, y = 0, inner = 0;
};

Workspace workspace_of(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const auto bytes = [&](int h, int w, int c, DType type) {
    return aligned(static_cast<std::size_t>(problem.n) * h * w * c * size_of(type));
  };
  Workspace workspace;
  workspace.y = problem.x_pitch() == g.c ? 0 : bytes(problem.h, problem.w, g.c, problem.x);
  workspace.inner = workspace.y + (problem.y_pitch() == g.k ? 0 : bytes(problem.p(), problem.q(), g.k, problem.y));
  return workspace;
}

// The reference loops, last of the table, take slices as they are.
bool supports(const ConvProblem& problem) {
  return !problem.dense() && inner_row(problem).name != conv_rows().back().name;
}

std::size_t workspace(const ConvProblem& problem) {
  return workspace_of(problem).inner + inner_row(problem).workspace(dense_problem(problem));
}

std::size_t packed_bytes(const ConvProblem& problem) {
  return inner_row(problem).packed_bytes(dense_problem(problem));
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream stream) {
  inner_row(problem).pack(dense_problem(problem), weights, packed, stream);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  const Workspace workspace = workspace_of(problem);
  const auto at = [&](std::size_t offset) { return static_cast<std::byte*>(args.workspace) + offset; };
  const auto dense_copy = [](Tensor tensor, void* data) {
    if (tensor.dense()) return tensor;
    tensor.data = data;
    tensor.pitch = tensor.c;
    return tensor;
  };
  ConvArgs dense = args;
  dense.x = dense_copy(args.x, at(workspace.x));
  dense.y = dense_copy(args.y, at(workspace.y));
  dense.workspace = at(workspace.inner);
  const bool writes_x = problem.direction == ConvDirection::dgrad, writes_y = problem.direction == ConvDirection::fprop;
  if (!args.x.dense() && !writes_x) copy_channels({.src = args.x, .dst = dense.x});
  if (!args.y.dense() && !writes_y) copy_channels({.src = args.y, .dst = dense.y});
  if (!args.x.dense()) dense.mode = Grad::overwrite;  // it is added when it is copied back
  inner_row(problem).run(dense_problem(problem), dense, stream);
  if (!args.x.dense() && writes_x) copy_channels({.src = dense.x, .dst = args.x, .mode = args.mode});
  if (!args.y.dense() && writes_y) copy_channels({.src = dense.y, .dst = args.y});
}

}  // namespace

const ConvRow& conv_row() {
  static constexpr ConvRow row{.name = "sliced",
                               .supports = supports,
                               .workspace = workspace,
                               .packed_bytes = packed_bytes,
                               .pack = pack,
                               .run = run};
  return row;
}

}  // namespace rook::cpu::sliced
