// Muon against ref, which iterates on the matrix itself, on any device.
#pragma once

#include <cmath>
#include <vector>

#include "base/error.h"
#include "tests/kernels/subject.h"

namespace rook::test {

struct MuonCase {
  const char* name;
  int rows, cols;
  int iterations = 3;
};

inline const std::vector<MuonCase> kMuonCases = {
    {"wide", 13, 37},      {"tall, more iterations", 33, 10, 5}, {"a row", 1, 29},
    {"one element", 1, 1}, {"square, one iteration", 17, 17, 1}, {"a column", 21, 1}};
// More than a block of any device.
inline const std::vector<MuonCase> kLargeMuonCases = {{"several blocks, wide", 101, 300},
                                                      {"several blocks, tall", 270, 97}};

// Its arrays: weights, gradient and velocity of a matrix.
class MuonArrays {
 public:
  MuonArrays(const MuonCase& shape, std::uint64_t seed) : shape_(shape) {
    Random random(seed);
    for (TestArray<float>* array : {&weights_, &gradient_, &velocity_}) array->fill_uniform(random);
  }
  MuonUpdate args() {
    return {.weights = weights_.data(),
            .gradient = gradient_.data(),
            .velocity = velocity_.data(),
            .rows = shape_.rows,
            .cols = shape_.cols,
            .lr = 0.02f,
            .lr_scale = 5,
            .momentum = 0.8f,
            .iterations = shape_.iterations,
            .gradient_scale = 0.25f};
  }
  TestArray<float>& weights() { return weights_; }
  TestArray<float>& gradient() { return gradient_; }
  TestArray<float>& velocity() { return velocity_; }
  double length() const {
    double sum = 0;
    for (std::int64_t i = 0; i < weights_.size(); ++i) sum += double{weights_[i]} * weights_[i];
    return std::sqrt(sum);
  }
  bool same(const MuonArrays& other) const {
    return same_bits(weights_, other.weights_) && same_bits(gradient_, other.gradient_) &&
           same_bits(velocity_, other.velocity_);
  }
  void check_like(const MuonArrays& expected) const {
    // The Gram matrix squares what is faint, and each iteration raises it again, in f32 with its rounding.
    const double tolerance = shape_.iterations > 3 ? 1e-4 : 2e-5;
    check_close("weights", weights_, expected.weights_, {tolerance, tolerance});
    check_close("velocity", velocity_, expected.velocity_, {1e-6, 1e-6});
    CHECK(same_bits(gradient_, expected.gradient_));
  }

 private:
  MuonCase shape_;
  TestArray<float> weights_{std::int64_t{shape_.rows} * shape_.cols}, gradient_{weights_.size()},
      velocity_{weights_.size()};
};

inline void run_muon(const Subject& subject, MuonUpdate args) {
  TestWorkspace workspace(subject.muon_update_workspace(args));
  args.workspace = workspace.data();
  subject.muon_update(args);
  CHECK(workspace.guards_intact());
}

// Two steps, with values of their own and from the state of a step; under all circumstances the same to the bit.
inline void test_muon(const Subject& subject, const std::vector<MuonCase>& cases) {
  Mapped<StepState> state(1);
  const int steps = subject.watched ? 1 : 2;
  for (const MuonCase& c : cases)
    for (const bool from_state : chosen(subject, std::vector<bool>{true, false}, 1)) {
      CAPTURE(std::string(c.name));
      MuonArrays expected(c, 11);
      for (int step = 0; step < steps; ++step) ref::muon_update(expected.args());
      std::vector<MuonArrays> first;
      subject.for_each_way([&] {
        MuonArrays actual(c, 11);
        MuonUpdate args = actual.args();
        if (from_state) {
          state[0].lr = std::exchange(args.lr, 100.0f);
          state[0].gradient_scale = std::exchange(args.gradient_scale, 100.0f);
          args.step = state.data();
        }
        for (int step = 0; step < steps; ++step) run_muon(subject, args);
        if (first.empty()) {
          actual.check_like(expected);
          first.push_back(actual);
        }
        CHECK(actual.same(first[0]));
      });
    }
}

// A step turns by what it was told and keeps the length; directions that the gradient hardly shows count as much.
inline void test_muon_turns(const Subject& subject) {
  const MuonCase shape{"diagonal", 3, 5, 5};
  MuonArrays arrays(shape, 12);
  arrays.velocity().fill(0);
  arrays.gradient().fill(0);
  arrays.weights().fill(0);
  for (int i = 0; i < 3; ++i) {
    arrays.gradient()[i * 5 + i] = i == 0 ? 1.0f : 0.1f;
    arrays.weights()[i * 5 + 4] = 1;  // at right angles to the gradient
  }
  MuonUpdate args = arrays.args();
  args.gradient_scale = 1;
  const double before = arrays.length();
  run_muon(subject, args);
  CHECK(arrays.length() == doctest::Approx(before).epsilon(1e-6));
  const double along = arrays.weights()[4], turn = std::tan(std::acos(along));
  CHECK(turn == doctest::Approx(0.1).epsilon(1e-5));
  // Ten times as much of the gradient, not twice as much of the update.
  const double strong = -arrays.weights()[0], weak = -arrays.weights()[6];
  CHECK(strong > 0);
  CHECK(weak > 0.5 * strong);
  CHECK(weak < 2 * strong);
}

// Nothing to go by: no gradient yet, no weights, or a step that was spoilt.
inline void test_muon_rests(const Subject& subject) {
  const MuonCase shape{"still", 7, 9};
  {
    MuonArrays arrays(shape, 13);
    arrays.velocity().fill(0);
    arrays.gradient().fill(0);
    const MuonArrays before = arrays;
    run_muon(subject, arrays.args());
    CHECK(arrays.same(before));
  }
  {
    MuonArrays arrays(shape, 14);
    arrays.weights().fill(0);
    const MuonArrays before = arrays;
    run_muon(subject, arrays.args());
    CHECK(same_bits(arrays.weights(), MuonArrays(before).weights()));
    CHECK(!same_bits(arrays.velocity(), MuonArrays(before).velocity()));
  }
  {
    MuonArrays arrays(shape, 15);
    const MuonArrays before = arrays;
    Mapped<StepState> state(1);
    state[0].bad_segment = 0;
    MuonUpdate args = arrays.args();
    args.step = state.data();
    run_muon(subject, args);
    CHECK(arrays.same(before));
  }
}

inline void test_muon_errors(const Subject& subject) {
  MuonArrays arrays({"errors", 3, 4}, 16);
  const MuonUpdate good = arrays.args();
  CHECK_THROWS_AS(subject.muon_update(good), Error);  // no workspace
  for (const auto change : {+[](MuonUpdate& a) { a.rows = 0; }, +[](MuonUpdate& a) { a.cols = -1; },
                            +[](MuonUpdate& a) { a.iterations = 0; }, +[](MuonUpdate& a) { a.velocity = nullptr; }}) {
    MuonUpdate bad = good;
    change(bad);
    bad.workspace = &arrays;
    CHECK_THROWS_AS(subject.muon_update(bad), Error);
  }
}

}  // namespace rook::test
