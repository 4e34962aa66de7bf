// The complete CUDA path of training and detection, run on the host by the emulator, beside the CPU's. The cases of the
// suite "gpu" run on a GPU as well (tests/gpu.h).
#include <utility>

#include "kernels/emu/control.h"
#include "model/diff.h"
#include "tests/gpu.h"
#include "tests/model/trainer_support.h"

using namespace rook;
using namespace rook::test;

namespace {

// What randomness and unusual orders there are: dropout, mosaics, flips, parts of a batch.
TrainConfig busy(OptimizerKind optimizer) {
  TrainConfig config = plain_config();
  config.optimizer = optimizer;
  config.schedule.base = optimizer == OptimizerKind::sgd ? 0.01f : 5e-3f;
  config.subdivisions = 2;
  config.decay = 0.01f;
  config.turn = 2;  // at 25 these few photos are learnt by leaps, and rounding decides where they end
  config.augment = {
      .scale = 0.2f, .shift = 0.1f, .flip = 0.5f, .hue = 0.02f, .saturation = 1.3f, .exposure = 1.3f, .mosaic = 0.5f};
  config.mosaic_until = 0.6f;
  return config;
}

std::vector<double> losses_on(const Backend& backend, const TrainConfig& config) {
  TinyTraining run(config);
  run.backend = &backend;
  run.train();
  return run.losses;
}

// The GPU sums in another order than the emulator, whose threads take turns, and each step builds on the last.
double loss_tolerance(const Backend& backend) {
  return backend.device == Device::cuda ? 2e-3 : 1e-4;
}

// Of the largest of a value; what `rook diff` on a GPU is held to.
double value_tolerance(const Backend& backend, bool train) {
  return backend.device == Device::cuda && train ? 1e-3 : 1e-4;
}

// A device like another one on which little memory is free: less than photos leave to the training.
struct Cramped {
  explicit Cramped(const Backend& of) : runtime(*of.runtime), backend(of) {
    runtime.free_bytes = [] { return std::size_t{200} << 20; };
    backend.runtime = &runtime;
  }
  Cramped(const Cramped&) = delete;
  DeviceRuntime runtime;
  Backend backend;
};

}  // namespace

TEST_SUITE_BEGIN("emu");

TEST_CASE("emu: ten steps have the losses of the CPU" * doctest::test_suite("gpu") *
          doctest::skip(emu_backend() == nullptr)) {
  for_each_gpu([](const Gpu& gpu) {
    for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd, OptimizerKind::muon}) {
      const TrainConfig config = busy(optimizer);
      const std::vector<double> cpu = losses_on(cpu_backend(), config), ours = losses_on(*gpu.ops, config);
      REQUIRE((cpu.size() == 10 && ours.size() == 10));
      for (std::size_t i = 0; i < cpu.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(ours[i] - cpu[i]) <= loss_tolerance(*gpu.ops) * cpu[i]);
      }
    }
  });
}

TEST_CASE("emu: the same seed gives the same weights, whatever the order of threads" *
          doctest::skip(emu_backend() == nullptr)) {
  TrainConfig config = busy(OptimizerKind::adamw);
  config.epochs = 4;
  for (const DType type : {DType::f32, DType::bf16}) {
    config.precision = type;
    TinyTraining first(config), second(config);
    first.backend = second.backend = emu_backend();
    first.train();
    emu::set_thread_order(emu::ThreadOrder::shuffled, 3);
    second.train();
    emu::set_thread_order(emu::ThreadOrder::forward);
    CHECK(first.last() == second.last());
  }
}

TEST_CASE("emu: photos that do not fit are brought for each step" * doctest::test_suite("gpu") *
          doctest::skip(emu_backend() == nullptr)) {
  for_each_gpu([](const Gpu& gpu) {
    TrainConfig config = busy(OptimizerKind::adamw);
    config.epochs = 6;
    REQUIRE((config.subdivisions == 2 && config.augment.mosaic > 0));
    const Cramped cramped(*gpu.ops);
    TinyTraining resident(config), streamed(config);
    resident.backend = gpu.ops;
    streamed.backend = &cramped.backend;
    const DevicePhotos all(resident.photos, *gpu.ops->runtime, 0, 4);
    CHECK(all.resident());
    resident.train();
    const DevicePhotos few(streamed.photos, cramped.runtime, std::size_t{256} << 20, 4);
    CHECK(!few.resident());
    streamed.train();
    CHECK(resident.last() == streamed.last());
  });
}

TEST_CASE("emu: a training goes on to the bit" * doctest::skip(emu_backend() == nullptr)) {
  TrainConfig config = busy(OptimizerKind::adamw);
  config.epochs = 6;
  TinyTraining whole(config), halves(config);
  whole.backend = halves.backend = emu_backend();
  whole.train();
  halves.stop_after = 3;
  CHECK(halves.train().end == TrainEnd::interrupted);
  halves.resume();
  CHECK(whole.last() == halves.last());
}

TEST_CASE("emu: a GPU trains as well as the CPU" * doctest::skip(emu_backend() == nullptr)) {
  TrainConfig config = plain_config();
  config.epochs = 100;  // of one step
  double map50[2] = {};
  for (const auto& [i, backend] : {std::pair{0, &cpu_backend()}, {1, emu_backend()}}) {
    TinyTraining run(config);
    run.backend = backend;
    map50[i] = run.train(true).best_map50;
  }
  MESSAGE("mAP50 after 100 steps: cpu ", map50[0], ", emu ", map50[1]);
  CHECK(map50[0] > 0.9);
  CHECK(std::abs(map50[0] - map50[1]) <= 0.005);
}

TEST_CASE("emu: nothing is allocated on the device after the second step" * doctest::skip(emu_backend() == nullptr)) {
  TrainConfig config = busy(OptimizerKind::adamw);
  TinyTraining run(config);
  run.backend = emu_backend();
  TrainerOptions options = run.options();
  std::vector<std::int64_t> allocations;
  options.on_step = [&](const StepInfo&) { allocations.push_back(emu::allocations()); };
  Trainer trainer(run.model, config, run.photos, nullptr, options);
  trainer.run();
  REQUIRE(allocations.size() == 10);
  for (std::size_t i = 2; i < allocations.size(); ++i) CHECK(allocations[i] == allocations[1]);
}

TEST_CASE("emu: every value and every gradient is the CPU's" * doctest::test_suite("gpu") *
          doctest::skip(emu_backend() == nullptr)) {
  for_each_gpu([](const Gpu& gpu) {
    Model model = make_model(tiny_cfg(kTrainLayers, kTrainNet), kPhotoClasses, 1);
    Random random(1);
    std::vector<float> pixels(64 * 64 * 3);
    for (float& p : pixels) p = static_cast<float>(random.uniform(0, 1));
    for (const bool train : {false, true}) {
      const auto rows = compare_devices(
          model, pixels,
          {.a = {.backend = &cpu_backend()}, .b = {.backend = gpu.ops}, .width = 64, .height = 64, .train = train});
      CHECK(rows.size() > (train ? 15u : 6u));
      for (const Difference& row : rows) {
        CAPTURE(row.name);
        CHECK(row.relative() <= value_tolerance(*gpu.ops, train));
      }
    }
  });
}

TEST_CASE("diff: says where two precisions differ most, and that not a number differs") {
  Model model = make_model(tiny_cfg(kTrainLayers, kTrainNet), kPhotoClasses, 1);
  std::vector<float> pixels(64 * 64 * 3, 0.5f);
  const DiffOptions options{.a = {.backend = &cpu_backend()},
                            .b = {.backend = &ref_backend(), .compute = DType::bf16},
                            .width = 64,
                            .height = 64};
  const auto rows = compare_devices(model, pixels, options);
  double worst = 0;
  for (const Difference& row : rows) worst = std::max(worst, row.relative());
  CHECK(worst > 1e-4);
  CHECK(worst < 0.1);
  pixels[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isinf(compare_devices(model, pixels, options).front().worst));
}

TEST_SUITE_END();
