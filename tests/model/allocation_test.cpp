// Memory is planned: after its first steps a training asks for none that it keeps, and for nothing large.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/model/trainer_support.h"

using namespace rook;
using namespace rook::test;

namespace {

std::atomic<bool> watching{false};
std::atomic<std::int64_t> taken{0}, given_back{0};
std::atomic<std::size_t> largest{0};

[[maybe_unused]] void note_taken(std::size_t bytes) noexcept {
  if (!watching) return;
  ++taken;
  std::size_t before = largest;
  while (before < bytes && !largest.compare_exchange_weak(before, bytes)) {
  }
}

[[maybe_unused]] void note_given_back(const void* memory) noexcept {
  if (watching && memory) ++given_back;
}

// What happened while it lived.
class Watch {
 public:
  Watch() {
    taken = given_back = 0;
    largest = 0;
    watching = true;
  }
  ~Watch() { watching = false; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
};

}  // namespace

// The sanitizer has its own; all other forms of new and delete call these.
#ifndef __SANITIZE_ADDRESS__
void* operator new(std::size_t bytes) {
  note_taken(bytes);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  note_taken(bytes);
  const auto align = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  note_given_back(memory);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  note_given_back(memory);
  std::free(memory);
}
#endif

TEST_CASE("allocation: the counter counts") {
  if (kSanitized) return;
  std::int64_t seen = 0;
  {
    const Watch watch;
    auto memory = std::make_unique<char[]>(5000);
    memory[0] = 1;
    memory.reset();
    Arena arena;
    arena.reserve(7000);
    seen = taken;
  }
  CHECK(seen == 2);
  CHECK(given_back == 2);
  CHECK(largest == 7000);
}

TEST_CASE("allocation: after the first steps a training keeps no more and takes nothing large") {
  if (kSanitized) {
    MESSAGE("skipped under the sanitizers, whose memory is their own");
    return;
  }
  for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd, OptimizerKind::muon}) {
    TrainConfig config = plain_config();
    config.batch = 4;
    config.subdivisions = 2;
    config.optimizer = optimizer;
    config.epochs = 1000;
    config.augment = {.scale = 0.2f, .shift = 0.1f, .flip = 0.5f, .saturation = 1.5f, .mosaic = 0.5f};
    config.mosaic_until = 1;
    TinyTraining run(config);
    Trainer trainer(run.model, config, run.photos, nullptr, run.options());
    for (int i = 0; i < 8; ++i) trainer.step();  // mosaics and photos alike have come by
    constexpr int kSteps = 10;
    {
      const Watch watch;
      for (int i = 0; i < kSteps; ++i) trainer.step();
    }
    MESSAGE("allocations per step: ", static_cast<double>(taken) / kSteps, ", the largest of ", largest.load(),
            " bytes");
    CHECK(taken == given_back);
    CHECK(largest < 4096);  // augmentation's tables of rows, oneDNN's lists of arguments: no picture, no layer
  }
}

TEST_CASE("allocation: the memory of all sizes of a training is there before its first step") {
  if (kSanitized) return;
  TrainConfig config = plain_config();
  config.epochs = 1000;
  config.multi_scale = 2;
  TinyTraining scaled(config);
  config.multi_scale = 1;
  config.stages = {{.share = 0.004f, .width = 32, .height = 32},
                   {.share = 0.004f, .width = 160, .height = 160},
                   {.share = 0.004f, .width = 96, .height = 96}};
  TinyTraining staged(config);
  for (TinyTraining* run : {&scaled, &staged}) {
    Trainer trainer(run->model, run->config, run->photos, nullptr, run->options());
    trainer.step();
    {
      const Watch watch;
      for (int i = 0; i < 40; ++i) trainer.step();
    }
    CHECK(taken > 0);          // plans
    CHECK(largest < 1 << 16);  // no arena: the photos alone take 98304 bytes
  }
}
