#include "engine/conv_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"

namespace rook {

ConvTable::ConvTable(const Backend& backend, std::string forced) : backend_(backend), forced_(std::move(forced)) {
  const auto rows = backend_.conv_rows();
  const auto named = [&](const ConvRow& row) { return row.name == forced_; };
  if (forced_.empty() || std::any_of(rows.begin(), rows.end(), named)) return;
  std::vector<std::string_view> names;
  for (const ConvRow& row : rows) names.push_back(row.name);
  throw Error(fmt::format("--conv {}: no such convolution on {}; there are: {}", forced_, backend_.name,
                          fmt::join(names, ", ")));
}

const ConvRow& ConvTable::choose(const ConvProblem& problem) const {
  const auto rows = backend_.conv_rows();
  for (const ConvRow& row : rows)
    if (row.name == forced_ && row.supports(problem)) return row;
  for (const ConvRow& row : rows)
    if (row.supports(problem)) return row;
  const ConvGeometry& g = problem.geometry;
  throw Error(fmt::format("no convolution on {} supports {} {}x{}x{} -> {}, size {}x{}, {} groups, {}", backend_.name,
                          name_of(problem.direction), g.c, problem.h, problem.w, g.k, g.r, g.s, g.groups,
                          name_of(problem.x)));
}

bool ConvTable::fast(const ConvProblem& problem) const {
  return choose(problem).name != "ref";
}

}  // namespace rook
