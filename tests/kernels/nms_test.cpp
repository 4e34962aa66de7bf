// nms on the CPU.
#include "base/error.h"
#include "tests/kernels/nms_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("nms: by class, best first, strictly above the threshold") {
  test_nms_by_class(cpu_subject());
  test_nms_by_class(ref_subject());
}

TEST_CASE("nms: greedynms and diounms forgive far centres, plain does not") {
  test_nms_kinds(cpu_subject());
  test_nms_kinds(ref_subject());
}

TEST_CASE("nms: a suppressed box suppresses nobody") {
  test_nms_chain(cpu_subject());
  test_nms_chain(ref_subject());
}

TEST_CASE("nms: equal scores go by index, then class; NaN scores vanish; nothing gives nothing") {
  test_nms_ties(cpu_subject());
  test_nms_ties(ref_subject());
}

TEST_CASE("nms: odd scores, indices and classes") {
  test_nms_odd_values(cpu_subject());
  test_nms_odd_values(ref_subject());
}

TEST_CASE("nms: cpu equals ref, image by image") {
  test_nms_equals_ref(cpu_subject());
}

TEST_CASE("nms: thousands of candidates, on any number of threads") {
  test_nms_deterministic(cpu_subject());
}

TEST_CASE("nms: thirty thousand candidates of eighty classes") {
  test_nms_many(cpu_subject());
}

TEST_CASE("nms: wrong arguments are errors") {
  std::int32_t count = 1;
  CHECK_THROWS_AS(cpu::nms({.counts = &count, .images = 1, .capacity = 4}), Error);
  CHECK_THROWS_AS(ref::nms({.counts = nullptr, .images = 1, .capacity = 0}), Error);
  CHECK_THROWS_AS(cpu::nms({.counts = &count, .images = 1, .threshold = std::nanf("")}), Error);
}
