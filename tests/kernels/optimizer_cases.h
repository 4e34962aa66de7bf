// The optimizer against ref, on any device: norms, updates, averages, the state of a step.
#pragma once

#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/kernels/subject.h"

namespace rook::test {

inline constexpr std::int64_t kParameters = 50021;

// Segments of odd lengths and places that leave gaps, one of them frozen and one empty.
inline Mapped<ParamSegment> odd_segments() {
  return {{.begin = 0, .end = 7, .lr_scale = 1, .decay = 0, .layer = 0},
          {.begin = 7, .end = 30001, .lr_scale = 0.5f, .decay = 0.1f, .layer = 0},
          {.begin = 30001, .end = 34000, .lr_scale = 0, .decay = 0.1f, .layer = 1},
          {.begin = 34000, .end = 34000, .lr_scale = 1, .decay = 0, .layer = 2},
          {.begin = 34003, .end = 34004, .lr_scale = 2, .decay = 0, .layer = 3},
          {.begin = 34009, .end = kParameters, .lr_scale = 1, .decay = 0.01f, .layer = 4}};
}

inline bool is_trained(std::int64_t i) {
  return i < 30001 || i == 34003 || i >= 34009;
}

// Arrays that begin `offset` floats behind an address that vectors can be read from.
class Parameters {
 public:
  explicit Parameters(std::uint64_t seed, int offset = 0) : offset_(offset) {
    Random random(seed);
    for (TestArray<float>* array : {&weights_, &gradient_, &first_}) array->fill_uniform(random);
    second_.fill_uniform(random, 0, 1);
  }
  float* weights() { return weights_.data() + offset_; }
  float* gradient() { return gradient_.data() + offset_; }
  float* first() { return first_.data() + offset_; }    // velocity, or m
  float* second() { return second_.data() + offset_; }  // v

  bool same(const Parameters& other) const {
    return same_bits(weights_, other.weights_) && same_bits(gradient_, other.gradient_) &&
           same_bits(first_, other.first_) && same_bits(second_, other.second_);
  }
  void check_like(const Parameters& expected, Tolerance of_weights) const {
    constexpr Tolerance kUpdate{1e-6, 1e-6};
    check_close("weights", weights_, expected.weights_, of_weights);
    check_close("first", first_, expected.first_, kUpdate);
    check_close("second", second_, expected.second_, kUpdate);
    CHECK(same_bits(gradient_, expected.gradient_));
  }
  void check_untouched(const Parameters& before) const {
    std::int64_t changed = 0;
    for (std::int64_t i = 0; i < kParameters; ++i) {
      const std::int64_t k = i + offset_;
      if (is_trained(i)) continue;
      changed += weights_[k] != before.weights_[k] || first_[k] != before.first_[k] || second_[k] != before.second_[k];
    }
    CHECK(changed == 0);
  }

 private:
  static constexpr std::int64_t kRoom = kParameters + 4;
  int offset_;
  TestArray<float> weights_{kRoom}, gradient_{kRoom}, first_{kRoom}, second_{kRoom};
};

struct Norm {
  double squares = 0;
  std::int32_t bad = -2;
};

inline Norm norm_on(const Subject& subject, const float* gradient, const Mapped<ParamSegment>& segments) {
  Mapped<Norm> result(1);
  GradientNorm args{
      .gradient = gradient, .segments = segments, .sum_of_squares = &result[0].squares, .bad_segment = &result[0].bad};
  TestWorkspace workspace(subject.gradient_norm_workspace(args));
  args.workspace = workspace.data();
  subject.gradient_norm(args);
  CHECK(workspace.guards_intact());
  return result[0];
}

// Of what is trained only, in double, without overflow, the same to the bit.
inline void test_gradient_norm(const Subject& subject) {
  const Mapped<ParamSegment> segments = odd_segments();
  for (const int offset : {0, 1}) {
    Parameters p(1, offset);
    Norm expected;
    ref::gradient_norm({.gradient = p.gradient(),
                        .segments = segments,
                        .sum_of_squares = &expected.squares,
                        .bad_segment = &expected.bad});
    const double first = norm_on(subject, p.gradient(), segments).squares;
    CHECK(std::abs(first - expected.squares) <= 1e-12 * expected.squares);
    if (subject.watched) return;  // nothing new for who looks for races
    subject.for_each_way([&] {
      const Norm norm = norm_on(subject, p.gradient(), segments);
      CHECK(norm.squares == first);
      CHECK(norm.bad == -1);
    });
    p.gradient()[31000] = NAN;  // frozen
    p.gradient()[34001] = NAN;  // in no segment
    const Norm without = norm_on(subject, p.gradient(), segments);
    CHECK((without.squares == first && without.bad == -1));
  }
  Parameters large(1);
  std::fill_n(large.gradient(), kParameters, 3e38f);
  const double trained = 30001 + 1 + (kParameters - 34009);
  CHECK(norm_on(subject, large.gradient(), segments).squares == doctest::Approx(trained * 9e76));
  const Norm none = norm_on(subject, large.gradient(), {});
  CHECK((none.squares == 0 && none.bad == -1));
}

// Names the last segment with a NaN or an infinity, wherever it is in it.
inline void test_bad_segment(const Subject& subject) {
  const Mapped<ParamSegment> segments = odd_segments();
  for (const auto& [value, index, segment] : {std::tuple{NAN, 0, 0},
                                              {INFINITY, 6, 0},
                                              {-INFINITY, 7, 1},
                                              {NAN, 16390, 1},
                                              {INFINITY, 30000, 1},
                                              {NAN, 34003, 4},
                                              {-INFINITY, 34009, 5},
                                              {NAN, 50020, 5}}) {
    Parameters p(2);
    p.gradient()[0] = value;
    p.gradient()[index] = value;
    const Norm norm = norm_on(subject, p.gradient(), segments);
    CHECK(norm.bad == segment);
    CHECK(!std::isfinite(norm.squares));
  }
}

// Several steps of update(parameters, step, reference) on the subject and on ref;
// under all circumstances the same to the bit, and what is frozen or between segments untouched.
template <class Update>
void test_updates(const Subject& subject, Tolerance of_weights, Update update) {
  for (const int offset : chosen(subject, std::vector{0, 3}, 1)) {
    const Parameters before(3, offset);
    Parameters expected = before;
    const int steps = subject.watched ? 1 : 3;
    for (int step = 1; step <= steps; ++step) update(expected, step, true);
    std::vector<Parameters> first;
    subject.for_each_way([&] {
      Parameters actual = before;
      for (int step = 1; step <= steps; ++step) update(actual, step, false);
      if (first.empty()) {
        actual.check_like(expected, of_weights);
        actual.check_untouched(before);
        first.push_back(actual);
      }
      CHECK(actual.same(first[0]));
    });
  }
}

// With values of their own, and from the state of a step.
inline void test_sgd(const Subject& subject) {
  const Mapped<ParamSegment> segments = odd_segments();
  Mapped<StepState> state(1);
  for (const bool from_state : {false, true}) {
    test_updates(subject, {2e-6, 1e-6}, [&](Parameters& p, int step, bool reference) {
      SgdUpdate args{.weights = p.weights(),
                     .gradient = p.gradient(),
                     .velocity = p.first(),
                     .segments = segments,
                     .lr = 0.02f * static_cast<float>(step),
                     .momentum = 0.8f,
                     .gradient_scale = 0.25f};
      if (reference) return ref::sgd_update(args);
      if (from_state) {
        state[0].lr = std::exchange(args.lr, 100.0f);
        state[0].gradient_scale = std::exchange(args.gradient_scale, 100.0f);
        args.step = state.data();
      }
      subject.sgd_update(args);
    });
  }
}

// v may begin at almost nothing, so that its root divides and the updates are large.
inline void test_adamw(const Subject& subject) {
  const Mapped<ParamSegment> segments = odd_segments();
  Mapped<StepState> state(1);
  for (const bool from_state : {false, true}) {
    test_updates(subject, {2e-5, 1e-5}, [&](Parameters& p, int step, bool reference) {
      AdamWUpdate args{.weights = p.weights(),
                       .gradient = p.gradient(),
                       .m = p.first(),
                       .v = p.second(),
                       .segments = segments,
                       .lr = 0.01f * static_cast<float>(step),
                       .optimizer_step = 2 + step,
                       .gradient_scale = 0.5f};
      if (reference) return ref::adamw_update(args);
      if (from_state) {
        state[0].lr = std::exchange(args.lr, 100.0f);
        state[0].gradient_scale = std::exchange(args.gradient_scale, 100.0f);
        state[0].optimizer_step = std::exchange(args.optimizer_step, 1);
        args.step = state.data();
      }
      subject.adamw_update(args);
    });
  }
}

inline void test_ema(const Subject& subject) {
  Mapped<StepState> state(1);
  state[0].ema_decay = 0.75f;
  for (const bool from_state : {false, true}) {
    for (const int offset : {0, 1}) {
      for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, std::int64_t{17}, kParameters}) {
        Parameters a(4, offset), b = a;
        EmaUpdate args{.average = a.first(), .value = a.weights(), .count = count, .decay = 0.75f};
        ref::ema_update(args);
        args.average = b.first();
        if (from_state) {
          args.decay = 0;
          args.step = state.data();
        }
        subject.ema_update(args);
        b.check_like(a, {});
      }
    }
  }
}

// A gradient that was not finite: nothing changes any more.
inline void test_spoilt_step(const Subject& subject) {
  const Mapped<ParamSegment> segments = odd_segments();
  Mapped<StepState> state(1);
  state[0].bad_segment = 2;
  const StepState* const step = state.data();
  const Parameters before(6);
  Parameters p = before;
  subject.sgd_update({.weights = p.weights(),
                      .gradient = p.gradient(),
                      .velocity = p.first(),
                      .segments = segments,
                      .lr = 1,
                      .step = step});
  subject.adamw_update({.weights = p.weights(),
                        .gradient = p.gradient(),
                        .m = p.first(),
                        .v = p.second(),
                        .segments = segments,
                        .lr = 1,
                        .step = step});
  subject.ema_update({.average = p.first(), .value = p.weights(), .count = kParameters, .step = step});
  CHECK(p.same(before));
}

// The host need not know the iteration: its values come from tables, whose last entries hold.
inline void test_advance_step(const Subject& subject) {
  Mapped<StepState> state(1);
  state[0].ema_decay = 0.125f;
  const Mapped<float> lrs{0.1f, 0.2f, 0.3f}, decays{0.5f, 0.6f, 0.7f};
  for (const bool with_ema : {false, true}) {
    const AdvanceStep args{.step = state.data(),
                           .lrs = lrs.data(),
                           .ema_decays = with_ema ? decays.data() : nullptr,
                           .iterations = 3,
                           .images = 4};
    for (int i = 0; i < 4; ++i) {
      state[0].gradient_scale = 9;
      const StepState before = state[0];
      subject.advance_step(args);
      const StepState& now = state[0];
      const std::size_t entry = std::min<std::size_t>(2, now.iteration);
      CHECK((now.iteration == before.iteration + 1 && now.optimizer_step == before.optimizer_step + 1));
      CHECK((now.seen == before.seen + 4 && now.gradient_scale == 1 && now.bad_segment == -1));
      CHECK(now.lr == lrs[entry]);
      CHECK(now.ema_decay == (with_ema ? decays[entry] : 0.125f));
    }
  }
}

inline void test_limit_gradient(const Subject& subject) {
  Mapped<StepState> state(1);
  Mapped<double> squares{25};
  Mapped<std::int32_t> bad{-1};
  const auto scale = [&](float factor, float clip) {
    subject.limit_gradient({.step = state.data(),
                            .sum_of_squares = squares.data(),
                            .bad_segment = bad.data(),
                            .scale = factor,
                            .clip = clip});
    return state[0].gradient_scale;
  };
  CHECK(scale(1, 0) == 1);
  CHECK(scale(0.5f, 0) == 0.5f);
  CHECK(scale(1, 10) == 1);
  CHECK(scale(1, 2) == doctest::Approx(0.4));
  CHECK(scale(0.5f, 2) == doctest::Approx(0.4));
  CHECK(state[0].bad_segment == -1);
  bad[0] = 3;
  scale(1, 0);
  bad[0] = 1;
  scale(1, 0);
  CHECK(state[0].bad_segment == 3);  // the first that was ever seen
}

}  // namespace rook::test
