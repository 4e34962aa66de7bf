// Training that is interrupted, killed, or repeated.
#include "tests/model/trainer_support.h"
#include "tests/process.h"

using namespace rook;
using namespace rook::test;

namespace {

// Everything that has a state: dropout, mosaics, colours, averages, momenta, evaluations.
TrainConfig busy_config(OptimizerKind optimizer, DType precision) {
  TrainConfig config = plain_config();
  config.batch = 4;
  config.subdivisions = 2;
  config.epochs = 6;  // 12 iterations
  config.optimizer = optimizer;
  config.precision = precision;
  config.decay = 0.01f;
  config.schedule = {.policy = Policy::cosine, .base = optimizer == OptimizerKind::sgd ? 1e-3f : 2e-3f, .warmup = 3};
  config.augment = {.scale = 0.2f,
                    .aspect = 0.1f,
                    .shift = 0.1f,
                    .flip = 0.5f,
                    .hue = 0.1f,
                    .saturation = 1.5f,
                    .exposure = 1.5f,
                    .mosaic = 0.5f};
  config.eval_every = 1;
  config.seed = 5;
  return config;
}

constexpr const char* kFolderVariable = "ROOK_TEST_FOLDER";

}  // namespace

TEST_CASE("resume: a run that was interrupted ends in the same files as one that was not") {
  int kind = 0;
  for (const auto& [precision, optimizer] : {std::pair{DType::f32, OptimizerKind::adamw},
                                             {DType::f32, OptimizerKind::sgd},
                                             {DType::bf16, OptimizerKind::adamw},
                                             {DType::bf16, OptimizerKind::sgd},
                                             {DType::f32, OptimizerKind::muon}}) {
    TrainConfig config = busy_config(optimizer, precision);
    if (kind == 1) config.stages = {{.share = 0.5f, .width = 32, .height = 32}};
    if (kind == 2) config.freeze = 2;
    if (kind == 3) config.ema = 0;
    CAPTURE(kind);
    TinyTraining whole(config);
    CHECK(whole.train(true).end == TrainEnd::finished);
    for (const int stop_after : {1, 5 + kind, 11}) {
      if (kSanitized && stop_after != 5 + kind) continue;
      CAPTURE(stop_after);
      TinyTraining parts(config);
      parts.stop_after = stop_after;
      CHECK(parts.train(true).end == TrainEnd::interrupted);
      CHECK(static_cast<int>(parts.steps.size()) == stop_after);
      CHECK(parts.last() != whole.last());
      const TrainResult result = parts.resume(true);
      CHECK(result.end == TrainEnd::finished);
      CHECK(result.iterations == 12);
      CHECK(parts.last() == whole.last());
      CHECK(load(parts.folder / "best.safetensors") == load(whole.folder / "best.safetensors"));
      CHECK(parts.losses == whole.losses);
    }
    ++kind;
  }
}

TEST_CASE("resume: another seed is another training") {
  TrainConfig config = busy_config(OptimizerKind::adamw, DType::f32);
  TinyTraining a(config);
  config.seed = 6;
  TinyTraining b(config);
  a.train();
  b.train();
  CHECK(a.losses != b.losses);
}

TEST_CASE("resume: a training by iterations instead of epochs") {
  TrainConfig config = busy_config(OptimizerKind::sgd, DType::f32);
  config.epochs = 0;
  config.schedule.iterations = 7;
  TinyTraining whole(config), parts(config);
  whole.train();
  parts.stop_after = 3;
  parts.train();
  CHECK(parts.resume().iterations == 7);
  CHECK(parts.last() == whole.last());
}

TEST_CASE("resume: a checkpoint of something else is refused") {
  TinyTraining run(busy_config(OptimizerKind::adamw, DType::f32));
  run.train(true);
  const Checkpoint last = read_checkpoint(run.folder / "last.safetensors"),
                   best = read_checkpoint(run.folder / "best.safetensors");
  const auto message = [&](const TrainConfig& config, TinyTraining& into, const Checkpoint& checkpoint) {
    Trainer trainer(into.model, config, into.photos, nullptr, into.options());
    return error_of([&] { trainer.resume(checkpoint); });
  };
  CHECK(message(run.config, run, last) == "");
  CHECK(says(message(run.config, run, best), "holds no state of a training"));
  CHECK(says(message(busy_config(OptimizerKind::sgd, DType::f32), run, last), "does not fit this optimizer"));
  Checkpoint fewer = last;
  fewer.state["photos"] = 1;
  CHECK(says(message(run.config, run, fewer), "was trained on 1 photos, and the data now have"));
  TinyTraining other(
      run.config,
      "conv filters=24 size=3 stride=8 activation=linear | yolo mask=0,1,2 anchors=24,12,12,24,20,20 num=3 classes=3");
  CHECK(says(message(run.config, other, last), "belongs to another network"));
}

// Run in a process of its own by the test below, until it is killed.
TEST_CASE("resume: child that saves all the time" * doctest::skip()) {
  const char* folder = std::getenv(kFolderVariable);
  REQUIRE(folder != nullptr);
  TrainConfig config = busy_config(OptimizerKind::adamw, DType::f32);
  config.epochs = 2e4;
  config.eval_every = 0;
  TinyTraining run(config);
  TrainerOptions options = run.options();
  options.folder = folder;
  options.save_every_s = 0;
  Trainer trainer(run.model, config, run.photos, nullptr, options);
  if (std::filesystem::exists(options.folder / "last.safetensors"))
    trainer.resume(read_checkpoint(options.folder / "last.safetensors"));
  trainer.run();
}

TEST_CASE("resume: killed at any moment, the checkpoint can be read and gone on with") {
  const TempFolder folder;
  const auto file = folder / "last.safetensors";
  Random random(1);
  std::int64_t iteration = 0;
  for (int round = 0; round < (kSanitized ? 3 : 6); ++round) {
    Child child(folder / ".", {"/proc/self/exe", "--no-skip=1", "--test-case=resume: child that saves all the time"},
                {std::string(kFolderVariable) + "=" + (folder / ".").string()});
    const auto written = [&] {
      return std::filesystem::exists(file) &&
             read_checkpoint(file).state.at("iteration").get<std::int64_t>() > iteration;
    };
    REQUIRE(wait_for(written, 60));
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(30000)));
    CHECK(child.running());
    CHECK(child.end(SIGKILL) == -SIGKILL);
    Checkpoint checkpoint;
    REQUIRE_NOTHROW(checkpoint = read_checkpoint(file));
    CHECK(checkpoint.state.at("iteration").get<std::int64_t>() > iteration);
    iteration = checkpoint.state.at("iteration").get<std::int64_t>();
    CHECK_NOTHROW(load_model(file.string()));
  }
}
