// Which implementation of convolution runs a problem.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/backend.h"

namespace rook {

// What `rook tune` measured on this device: of a problem the names of rows, the fastest first.
using TunedConvs = std::unordered_map<ConvProblem, std::vector<std::string>, ConvProblemHash>;

// What decides besides the default rule.
struct ConvChoice {
  // Name of a row that is taken wherever it supports the problem, or "ours": no row of a library, and the reference
  // loops only where none of ours can run. "": any.
  std::string forced;
  std::shared_ptr<const TunedConvs> tuned;  // null: nothing was measured

  ConvChoice() = default;
  template <class Name>
  requires std::is_convertible_v<Name, std::string> ConvChoice(Name name)
      : forced(std::move(name)) {}  // NOLINT: implicit on purpose
  ConvChoice(std::string name, std::shared_ptr<const TunedConvs> measured)
      : forced(std::move(name)), tuned(std::move(measured)) {}
};

class ConvTable {
 public:
  enum class Why : std::uint8_t { forced, tuned, rule };
  struct Chosen {
    const ConvRow* row;
    Why why;
  };

  // Throws Error when there is no row of the forced name, or it can run nothing here.
  explicit ConvTable(const Backend& backend, ConvChoice choice = {});

  // The forced row, else the fastest that was measured, else the default rule: the first that supports the problem.
  // Throws Error when no row supports it.
  const ConvRow& choose(const ConvProblem& problem) const { return *explain(problem).row; }
  Chosen explain(const ConvProblem& problem) const;
  // Whether a row other than the reference loops runs it, or these were measured to be the fastest: fusing an
  // activation then does not cost more than it saves.
  bool fast(const ConvProblem& problem) const;

  // Adds every problem that is asked for from now on to `problems`, each once; null ends it.
  void record(std::vector<ConvProblem>* problems) { recorded_ = problems; }

  const Backend& backend() const { return backend_; }

 private:
  bool allowed(const ConvRow& row) const { return !only_ours_ || row.ours(); }
  const ConvRow* fastest_measured(const ConvProblem& problem) const;
  const ConvRow* faster_than_loops(const ConvProblem& problem) const;

  const Backend& backend_;
  ConvChoice choice_;
  bool only_ours_ = false;
  std::vector<ConvProblem>* recorded_ = nullptr;
};

const char* name_of(ConvTable::Why why);

}  // namespace rook
