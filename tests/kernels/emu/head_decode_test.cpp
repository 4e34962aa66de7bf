// head_decode on a GPU and emulated: the cases of the CPU.
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/head_decode_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("head_decode: a classic cell by hand, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_classic(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: new_coords by hand, and comparisons are strict, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_new_coords(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: a Gaussian head is less sure by the mean of its uncertainties, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_gaussian(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: a region head has anchors in cells and a softmax, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_region(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: appends, counts what does not fit, drops NaN, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_appends(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: equals ref for all kinds of heads, storages and slices, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_equals_ref(gpu_subject(gpu)); });
}

TEST_CASE("head_decode: many anchor cells, in any order of threads, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_decode_many(gpu_subject(gpu)); });
}
