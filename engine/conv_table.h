// Which implementation of convolution runs a problem.
#pragma once

#include <string>

#include "engine/backend.h"

namespace rook {

class ConvTable {
 public:
  // `forced`: name of a row that is taken wherever it supports the problem ("": the default rule, the first that does).
  explicit ConvTable(const Backend& backend, std::string forced = "");

  // Throws Error when no row supports the problem.
  const ConvRow& choose(const ConvProblem& problem) const;
  // Whether a row other than the reference loops runs it, so that fusing an activation does not cost more than it
  // saves.
  bool fast(const ConvProblem& problem) const;

  const Backend& backend() const { return backend_; }

 private:
  const Backend& backend_;
  std::string forced_;
};

}  // namespace rook
