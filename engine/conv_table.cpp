#include "engine/conv_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"

namespace rook {

constexpr std::string_view kOurs = "ours";

ConvTable::ConvTable(const Backend& backend, ConvChoice choice)
    : backend_(backend), choice_(std::move(choice)), only_ours_(choice_.forced == kOurs) {
  if (choice_.forced.empty() || only_ours_) return;
  std::vector<std::string_view> names;
  for (const ConvRow& row : backend_.conv_rows()) {
    names.push_back(row.name);
    if (row.name != choice_.forced) continue;
    const std::string reason = row.unavailable ? row.unavailable() : std::string();
    if (reason.empty()) return;
    throw Error(fmt::format("--conv {}: {}", choice_.forced, reason));
  }
  throw Error(fmt::format("--conv {}: no such convolution on {}; there are: {}, and ours (all that are no library's)",
                          choice_.forced, backend_.name, fmt::join(names, ", ")));
}

const ConvRow* ConvTable::fastest_measured(const ConvProblem& problem) const {
  if (!choice_.tuned) return nullptr;
  const auto found = choice_.tuned->find(problem);
  if (found == choice_.tuned->end()) return nullptr;
  for (const std::string& name : found->second)
    for (const ConvRow& row : backend_.conv_rows())
      if (row.name == name && allowed(row) && row.supports(problem)) return &row;
  return nullptr;
}

// Without libraries: a row that says no because a library is faster still beats the reference loops. Those that come
// later ask less of a problem.
const ConvRow* ConvTable::faster_than_loops(const ConvProblem& problem) const {
  const auto rows = backend_.conv_rows();
  for (auto row = rows.rbegin(); row != rows.rend(); ++row)
    if (row->ours() && row->can_run && row->can_run(problem)) return &*row;
  return nullptr;
}

ConvTable::Chosen ConvTable::explain(const ConvProblem& problem) const {
  if (recorded_ && std::find(recorded_->begin(), recorded_->end(), problem) == recorded_->end())
    recorded_->push_back(problem);
  const auto rows = backend_.conv_rows();
  for (const ConvRow& row : rows)
    if (row.name == choice_.forced && row.supports(problem)) return {&row, Why::forced};
  if (const ConvRow* row = fastest_measured(problem)) return {row, Why::tuned};
  for (const ConvRow& row : rows)
    if (allowed(row) && row.supports(problem)) {
      const ConvRow* instead = only_ours_ && row.name == "ref" ? faster_than_loops(problem) : nullptr;
      return {instead ? instead : &row, only_ours_ ? Why::forced : Why::rule};
    }
  throw Error(fmt::format("no convolution on {} supports {}", backend_.name, describe(problem)));
}

bool ConvTable::fast(const ConvProblem& problem) const {
  const Chosen chosen = explain(problem);
  return chosen.row->name != "ref" || chosen.why == Why::tuned;
}

const char* name_of(ConvTable::Why why) {
  switch (why) {
    case ConvTable::Why::forced:
      return "forced";
    case ConvTable::Why::tuned:
      return "tuned";
    case ConvTable::Why::rule:
      return "rule";
  }
  return "?";
}

}  // namespace rook
