// Measuring the rows of the convolution table on the problems of a network.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/bench/timing.h"
#include "model/conv_cache.h"
#include "model/network.h"

namespace rook::app {

// What became of a row that supports a problem.
struct Candidate {
  std::string row;
  std::optional<double> ms;  // the median; nothing for a row that was dropped
  std::string fault;         // why it was dropped: what it threw, or which of its outputs is wrong
  bool unsteady = false;     // its times spread by more than kUnsteady: something else was running
};

struct TunedProblem {
  ConvProblem problem;
  std::string by_rule;  // what the default rule takes
  std::vector<Candidate> candidates;

  const Candidate* find(std::string_view row) const;
  // The rows that ran and were right, in order of preference: the fastest first, but the default rule's before one that
  // is faster by no more than kNoise.
  MeasuredConv measured() const;
};
inline constexpr double kNoise = 0.03;

// The convolutions that detection with a network asks for at this size, or a training (forward and backward); each
// once, in the order of its layers.
std::vector<ConvProblem> conv_problems(const Network& network, const Backend& backend, DType compute, int batch,
                                       int height, int width, bool training);

// Checks every row that supports the problem at random outputs against sums in double, then times those that are right
// in turn. Rows that take many times as long as the best are timed once; `ref`, which is the slowest of all, only where
// nothing else runs the problem or it is small.
TunedProblem tune_problem(const Backend& backend, Stream stream, const ConvProblem& problem,
                          const TimingLimits& limits);

}  // namespace rook::app
