#include "kernels/cpu/conv_sliced.h"

#include <string>
#include <utility>

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

void run_copies(const ConvRow& row, const ConvProblem& problem, const ConvArgs& args, Stream stream) {
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
  row.run(dense_problem(problem), dense, stream);
  if (!args.x.dense() && writes_x) copy_channels({.src = dense.x, .dst = args.x, .mode = args.mode});
  if (!args.y.dense() && writes_y) copy_channels({.src = dense.y, .dst = args.y});
}

// The row that lets row kRow of dense_conv_rows() compute.
template <std::size_t kRow>
struct Sliced {
  static const ConvRow& row() { return dense_conv_rows()[kRow]; }
  static bool supports(const ConvProblem& problem) {
    return !problem.dense() && row().supports(dense_problem(problem));
  }
  static bool can_run(const ConvProblem& problem) { return !problem.dense() && row().can_run(dense_problem(problem)); }
  static std::size_t workspace(const ConvProblem& problem) {
    return workspace_of(problem).inner + row().workspace(dense_problem(problem));
  }
  static std::size_t packed_bytes(const ConvProblem& problem) { return row().packed_bytes(dense_problem(problem)); }
  static void pack(const ConvProblem& problem, const float* weights, void* packed, Stream stream) {
    row().pack(dense_problem(problem), weights, packed, stream);
  }
  static void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
    run_copies(row(), problem, args, stream);
  }

  static ConvRow sliced_row() {
    static const std::string name = "sliced-" + std::string(row().name);
    return {.name = name,
            .supports = supports,
            .workspace = workspace,
            .packed_bytes = packed_bytes,
            .pack = pack,
            .run = run,
            .version = row().version,
            .unavailable = row().unavailable,
            .can_run = row().can_run ? can_run : nullptr};
  }
};

}  // namespace

const std::array<ConvRow, kDenseConvRows>& conv_rows() {
  static const auto rows = []<std::size_t... kRow>(std::index_sequence<kRow...>) {
    return std::array<ConvRow, kDenseConvRows>{Sliced<kRow>::sliced_row()...};
  }
  (std::make_index_sequence<kDenseConvRows>{});
  return rows;
}

}  // namespace rook::cpu::sliced
