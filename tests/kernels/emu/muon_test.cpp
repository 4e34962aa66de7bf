// The kernels of Muon on the cases of the CPU, in every order of threads.
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/muon_cases.h"

namespace rook::test {

TEST_CASE("cuda muon_update: as ref, for wide and tall matrices") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    test_muon(subject, chosen(subject, kMuonCases));
  });
}
TEST_CASE("cuda muon_update: as ref, matrices of several tiles" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) {
    Subject subject = gpu_subject(gpu);
    subject.for_each_way = [](const std::function<void()>& body) { body(); };
    test_muon(subject, kLargeMuonCases);
  });
}
TEST_CASE("cuda muon_update: a step turns by its rate, keeps the length, and hears faint directions") {
  for_each_gpu([](const Gpu& gpu) { test_muon_turns(gpu_subject(gpu)); });
}
TEST_CASE("cuda muon_update: rests without a gradient, without weights, and after a step that was spoilt" *
          unwatched()) {
  for_each_gpu([](const Gpu& gpu) { test_muon_rests(gpu_subject(gpu)); });
}
TEST_CASE("cuda muon_update: arguments that do not fit are errors" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) { test_muon_errors(gpu_subject(gpu)); });
}

}  // namespace rook::test
