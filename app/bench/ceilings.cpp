#include "app/bench/ceilings.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/bench/op_cases.h"
#include "app/common.h"
#include "base/error.h"

namespace rook::app {
namespace {

// Source and target of `bytes` each; of a GPU far more than its cache, of the CPU as well.
Contestant copier(const Backend& backend, Stream stream, std::byte* to, const std::byte* from, std::size_t bytes) {
  if (backend.device != Device::cpu)
    return {.instances = {[=, &backend] { backend.runtime->copy(to, from, bytes, stream); }}};
  return {.instances = {[=] {  // on all threads, as operations do
            constexpr std::size_t kPiece = std::size_t{1} << 20;
            const auto pieces = static_cast<std::ptrdiff_t>(bytes / kPiece);
#pragma omp parallel for schedule(static)
            for (std::ptrdiff_t i = 0; i < pieces; ++i)
              std::memcpy(to + static_cast<std::size_t>(i) * kPiece, from + static_cast<std::size_t>(i) * kPiece,
                          kPiece);
          }}};
}

// A matrix product as a convolution: [pixels, c] x [c, k].
ConvProblem product(const Backend& backend, DType type) {
  const int side = backend.device == Device::emu ? 4 : backend.device == Device::cuda ? 96 : 64;
  const int channels = backend.device == Device::emu ? 32 : backend.device == Device::cuda ? 8192 : 1024;
  return {.geometry = {.c = channels, .k = channels}, .n = 1, .h = side, .w = side, .x = type, .y = type};
}

// Floating point operations per second; 0 where a library refuses what it said it takes.
double rate_of(const Backend& backend, Stream stream, const ConvProblem& problem, const ConvRow& row,
               const TimingLimits& limits) {
  try {
    OpData operands(backend, stream, 1, problem.x);
    const Contestant contestant{.instances = {make_conv(operands, problem, row)}};
    return problem.flops() / time_in_turn(backend, stream, {contestant}, limits).front().least;
  } catch (const Error&) {
    if (row.ours() || interrupted()) throw;
    return 0;
  }
}

}  // namespace

double Ceilings::seconds(double flops, double bytes, DType type) const {
  const auto found = flops_per_s.find(type);
  const double arithmetic = found == flops_per_s.end() ? 0 : flops / found->second;
  return std::max(arithmetic, bytes / copy_bytes_per_s);
}

nlohmann::json Ceilings::json() const {
  nlohmann::json json = {{"copy_gb_s", copy_bytes_per_s / 1e9}};
  for (const auto& [type, flops] : flops_per_s)
    json["products"].push_back({{"type", name_of(type)}, {"tflops", flops / 1e12}, {"row", product_by.at(type)}});
  return json;
}

Ceilings measure_ceilings(const Backend& backend, Stream stream, const std::vector<DType>& types,
                          const TimingLimits& limits) {
  Ceilings ceilings;
  const std::size_t bytes = backend.device == Device::emu ? 1 << 20 : std::size_t{256} << 20;
  OpData data(backend, stream, 1, DType::f32);
  auto* const from = static_cast<std::byte*>(data.scratch(bytes));
  auto* const to = static_cast<std::byte*>(data.scratch(bytes));
  const auto copies = time_in_turn(backend, stream, {copier(backend, stream, to, from, bytes)}, limits);
  ceilings.copy_bytes_per_s = 2.0 * static_cast<double>(bytes) / copies.front().least;
  for (const DType type : types) {
    const ConvProblem problem = product(backend, type);
    for (const ConvRow& row : backend.conv_rows()) {
      if (row.name == "ref" || !row.supports(problem)) continue;
      const double rate = rate_of(backend, stream, problem, row, limits);
      if (rate <= ceilings.flops_per_s[type]) continue;
      ceilings.flops_per_s[type] = rate;
      ceilings.product_by[type] = row.name;
    }
    if (ceilings.product_by.find(type) == ceilings.product_by.end()) ceilings.flops_per_s.erase(type);
  }
  return ceilings;
}

}  // namespace rook::app
