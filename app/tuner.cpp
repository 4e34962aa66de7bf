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

// Why something threw, empty when it did not.
template <class Body>
std::string fault_of(Body&& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

// What can run the problem here and is worth a try. A row that cannot even say whether it does is dropped.
std::vector<const ConvRow*> rows_for(const Backend& backend, TunedProblem& tuned) {
  std::vector<const ConvRow*> rows;
  for (const ConvRow& row : backend.conv_rows()) {
    bool supported = false;
    const std::string fault = fault_of([&] { supported = row.supports(tuned.problem); });
    if (!fault.empty()) tuned.candidates.push_back({.row = std::string(row.name), .ms = {}, .fault = fault});
    if (supported) rows.push_back(&row);
  }
  if (rows.size() > 1 && tuned.problem.flops() > kSmall)
    std::erase_if(rows, [](auto* row) { return row->name == "ref"; });
  return rows;
}

struct RightRow {
  const ConvRow* row;
  double seconds;         // of a first run
  std::size_t candidate;  // its number
};

// Checks the rows, and runs each that is right once.
std::vector<RightRow> check_rows(const Backend& backend, Stream stream, TunedProblem& tuned) {
  std::vector<RightRow> right;
  for (const ConvRow* row : rows_for(backend, tuned)) {
    if (interrupted()) throw Error("interrupted");
    Candidate candidate{.row = std::string(row->name), .ms = {}, .fault = {}, .unsteady = false};
    const std::string thrown = fault_of([&] {
      // The check is with the formula that ref computes.
      if (row->name != "ref") candidate.fault = check_conv_samples(backend, stream, tuned.problem, *row, kSamples);
      if (candidate.fault.empty())
        right.push_back({row, time_once(backend, stream, tuned.problem, *row), tuned.candidates.size()});
    });
    if (!thrown.empty()) candidate.fault = thrown;
    tuned.candidates.push_back(std::move(candidate));
  }
  return right;
}

// Times those that are not hopeless in turn. One that fails now, for want of memory say, is dropped as well.
void time_rows(const Backend& backend, Stream stream, TunedProblem& tuned, const std::vector<RightRow>& right,
               const TimingLimits& limits) {
  double best = right.empty() ? 0 : right.front().seconds;
  for (const RightRow& r : right) best = std::min(best, r.seconds);
  ConvContest contest(backend, stream, tuned.problem);
  std::vector<Candidate*> timed;
  for (const RightRow& r : right) {
    Candidate& candidate = tuned.candidates[r.candidate];
    if (r.seconds > kHopeless * best) {
      candidate.ms = r.seconds * 1e3;
      continue;
    }
    candidate.fault = fault_of([&] { contest.add(*r.row); });
    if (candidate.fault.empty()) timed.push_back(&candidate);
  }
  const std::vector<TimedOrFault> results = time_each_in_turn(backend, stream, contest.contestants(), limits);
  for (std::size_t i = 0; i < results.size(); ++i) {
    timed[i]->fault = fault_of([&] {
      if (results[i].fault) std::rethrow_exception(results[i].fault);
      timed[i]->ms = results[i].timing.median * 1e3;
      timed[i]->unsteady = results[i].timing.spread() > kUnsteady;
    });
  }
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
  time_rows(backend, stream, tuned, check_rows(backend, stream, tuned), limits);
  return tuned;
}

}  // namespace rook::app
