// Pools, upsampling and reorg as CUDA kernels: on the cases of the CPU, in every storage type and order of threads.
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/pool_cases.h"
#include "tests/kernels/reorg_cases.h"
#include "tests/kernels/upsample_cases.h"

namespace rook::test {

TEST_CASE("cuda maxpool: values, chosen taps and gradients") {
  for_each_gpu([](const Gpu& gpu) { test_maxpool(gpu_subject(gpu)); });
}
TEST_CASE("cuda maxpool: ties, infinities and NaN are chosen as ref does") {
  for_each_gpu([](const Gpu& gpu) { test_maxpool_ties(gpu_subject(gpu)); });
}
TEST_CASE("cuda local_avgpool: means over the taps inside the image, and their gradients") {
  for_each_gpu([](const Gpu& gpu) { test_local_avgpool(gpu_subject(gpu)); });
}
TEST_CASE("cuda avgpool: means over all pixels, and their gradients") {
  for_each_gpu([](const Gpu& gpu) { test_avgpool(gpu_subject(gpu)); });
}
TEST_CASE("cuda upsample: forward and backward, strides and scales") {
  for_each_gpu([](const Gpu& gpu) { test_upsample(gpu_subject(gpu)); });
}
TEST_CASE("cuda reorg: both maps, both ways") {
  for_each_gpu([](const Gpu& gpu) { test_reorg(gpu_subject(gpu)); });
}

}  // namespace rook::test
