// The optimizer's kernels on the cases of the CPU, in every order of threads.
#include "base/error.h"
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/optimizer_cases.h"

namespace rook::test {

TEST_CASE("cuda gradient_norm: the sum in double, without frozen segments and gaps, the same to the bit") {
  for_each_gpu([](const Gpu& gpu) { test_gradient_norm(gpu_subject(gpu)); });
}
TEST_CASE("cuda gradient_norm: names the last segment with a NaN or an infinity" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) { test_bad_segment(gpu_subject(gpu)); });
}
TEST_CASE("cuda sgd_update: as ref, with values of its own and from the state of a step") {
  for_each_gpu([](const Gpu& gpu) { test_sgd(gpu_subject(gpu)); });
}
TEST_CASE("cuda adamw_update: as ref, with values of its own and from the state of a step") {
  for_each_gpu([](const Gpu& gpu) { test_adamw(gpu_subject(gpu)); });
}
TEST_CASE("cuda ema_update: as ref, with a decay of its own and from the state of a step") {
  for_each_gpu([](const Gpu& gpu) { test_ema(gpu_subject(gpu)); });
}
TEST_CASE("cuda optimizer: a step that was spoilt changes nothing") {
  for_each_gpu([](const Gpu& gpu) { test_spoilt_step(gpu_subject(gpu)); });
}
TEST_CASE("cuda advance_step: the tables' values, the last for ever") {
  for_each_gpu([](const Gpu& gpu) { test_advance_step(gpu_subject(gpu)); });
}
TEST_CASE("cuda limit_gradient: averaging, clipping, and the first bad segment") {
  for_each_gpu([](const Gpu& gpu) { test_limit_gradient(gpu_subject(gpu)); });
}

TEST_CASE("cuda optimizer: what is missing is an error") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Parameters p(7);
    const Mapped<ParamSegment> segments = odd_segments();
    Mapped<Norm> norm(1);
    CHECK_THROWS_AS(subject.gradient_norm({.gradient = p.gradient(),
                                           .segments = segments,
                                           .sum_of_squares = &norm[0].squares,
                                           .bad_segment = &norm[0].bad}),
                    Error);  // no workspace
    CHECK_THROWS_AS(subject.sgd_update({.weights = p.weights(), .gradient = p.gradient(), .segments = segments}),
                    Error);
    CHECK_THROWS_AS(subject.adamw_update({.weights = p.weights(),
                                          .gradient = p.gradient(),
                                          .m = p.first(),
                                          .v = p.second(),
                                          .segments = segments,
                                          .optimizer_step = 0}),
                    Error);
    CHECK_THROWS_AS(subject.ema_update({.average = p.first(), .value = p.weights(), .count = -1}), Error);
    CHECK_THROWS_AS(subject.advance_step({}), Error);
    CHECK_THROWS_AS(subject.limit_gradient({}), Error);
  });
}

}  // namespace rook::test
