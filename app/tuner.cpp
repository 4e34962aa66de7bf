#include "app/tuner.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "app/bench/op_cases.h"
#include "app/common.h"
#include "base/error.h"
#include "engine/plan.h"

namespace rook::app {
namespace {

constexpr int kSamples = 200;
constexpr double kSmall = 2e7;   // floating point operations up to which ref is a candidate beside others
constexpr double kHopeless = 5;  // times slower than the best in a first run

// Seconds of one run on data of its own, after one that does not count.
double time_once(const Backend& backend, Stream stream, const ConvProblem& problem, const ConvRow& row) {
  OpData data(backend, stream, problem.n, problem.x);
  const auto run = make_conv(data, problem, row);
  if (row.name != "ref") run();
  backend.runtime->synchronize(stream);
  const auto start = std::chrono::steady_clock::now();
  run();
  backend.runtime->synchronize(stream);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What can run the problem here and is worth a try.
std::vector<const ConvRow*> rows_for(const Backend& backend, const ConvProblem& problem) {
  std::vector<const ConvRow*> rows;
  for (const ConvRow& row : backend.conv_rows())
    if (row.supports(problem)) rows.push_back(&row);
  if (rows.size() > 1 && problem.flops() > kSmall) std::erase_if(rows, [](auto* row) { return row->name == "ref"; });
  return rows;
}

}  // namespace

const Candidate* TunedProblem::find(std::string_view row) const {
  const auto found =
      std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) { return c.row == row; });
  return found == candidates.end() ? nullptr : &*found;
}

MeasuredConv TunedProblem::measured() const {
  const auto weight = [&](const MeasuredRow& row) { return row.ms * (row.row == by_rule ? 1 - kNoise : 1); };
  MeasuredConv result{.problem = problem, .rows = {}};
  for (const Candidate& c : candidates)
    if (c.ms) result.rows.push_back({c.row, *c.ms});
  std::stable_sort(result.rows.begin(), result.rows.end(),
                   [&](const MeasuredRow& a, const MeasuredRow& b) { return weight(a) < weight(b); });
  return result;
}

std::vector<ConvProblem> conv_problems(const Network& network, const Backend& backend, DType compute, int batch,
                                       int height, int width, bool training) {
  std::vector<ConvProblem> problems;
  ConvTable table(backend);
  table.record(&problems);
  make_plan(network.graph,
            {.batch = batch, .h = height, .w = width, .compute = compute, .training = training, .convs = &table});
  return problems;
}

TunedProblem tune_problem(const Backend& backend, Stream stream, const ConvProblem& problem,
                          const TimingLimits& limits) {
  TunedProblem tuned{
      .problem = problem, .by_rule = std::string(ConvTable(backend).choose(problem).name), .candidates = {}};
  std::vector<std::pair<const ConvRow*, double>> right;  // and the time of a first run
  for (const ConvRow* row : rows_for(backend, problem)) {
    if (interrupted()) throw Error("interrupted");
    Candidate candidate{.row = std::string(row->name), .ms = {}, .fault = {}, .unsteady = false};
    try {
      // The check is with the formula that ref computes.
      if (row->name != "ref") candidate.fault = check_conv_samples(backend, stream, problem, *row, kSamples);
      if (candidate.fault.empty()) right.emplace_back(row, time_once(backend, stream, problem, *row));
    } catch (const std::exception& error) {
      candidate.fault = error.what();
    }
    tuned.candidates.push_back(std::move(candidate));
  }
  double best = right.empty() ? 0 : right.front().second;
  for (const auto& [row, seconds] : right) best = std::min(best, seconds);
  ConvContest contest(backend, stream, problem);
  std::vector<const ConvRow*> contestants;
  for (const auto& [row, seconds] : right)
    if (seconds <= kHopeless * best) {
      contest.add(*row);
      contestants.push_back(row);
    }
  const std::vector<Timing> timings = time_in_turn(backend, stream, contest.contestants(), limits);
  for (const auto& [row, seconds] : right) {
    const auto at = std::find(contestants.begin(), contestants.end(), row);
    const bool timed = at != contestants.end();
    const Timing* const timing = timed ? &timings[static_cast<std::size_t>(at - contestants.begin())] : nullptr;
    for (Candidate& candidate : tuned.candidates) {
      if (candidate.row != row->name) continue;
      candidate.ms = (timing ? timing->median : seconds) * 1e3;
      candidate.unsteady = timing && timing->spread() > kUnsteady;
    }
  }
  return tuned;
}

}  // namespace rook::app
