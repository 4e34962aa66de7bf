// Training on synthetic photos: it learns, it stops and goes on to the bit, and it refuses to go on with nonsense.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "model/trainer.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook {
namespace {

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / fmt::format("rook-trainer-{}-{}", getpid(), next_++)) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }
  operator fs::path() const { return path_; }

 private:
  static inline int next_ = 0;
  fs::path path_;
};

// Two heads would only be slower: a few strided convolutions, dropout, one head at stride 16.
io::Cfg small_cfg() {
  std::string text = "[net]\nwidth=64\nheight=64\nchannels=3\n";
  for (const int filters : {8, 16, 16, 32})
    text += fmt::format("[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride=2\npad=1\nactivation=leaky\n",
                        filters);
  text += "[dropout]\nprobability=0.1\n[convolutional]\nsize=1\nfilters=16\nactivation=linear\n";
  text += "[yolo]\nmask=0,1\nanchors=4,6, 8,12\nclasses=3\nnum=2\niou_loss=ciou\n";
  return io::parse_cfg(text, "small.cfg");
}

TrainConfig small_config(const Model& model) {
  TrainConfig config = recipe("scratch", model.network->cfg);
  config.batch = 4;
  config.subdivisions = 2;
  config.epochs = 4;
  config.schedule.warmup = 3;
  config.eval_every = 1;
  return config;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Trains and, when `stop_after` is not negative, stops after so many steps and goes on in a new trainer.
std::string last_checkpoint(const TrainConfig& config, int stop_after) {
  const Folder folder;
  const PhotoCache photos = PhotoCache::synthetic(8, 64, 64, 3);
  std::atomic<bool> stop{false};
  int steps = 0;
  const auto options = [&] {
    TrainerOptions o;
    o.backend = &cpu_backend();
    o.folder = folder;
    o.stop = &stop;
    o.on_step = [&](const StepInfo&) { stop = ++steps == stop_after; };
    return o;
  };
  Model model = make_model(small_cfg(), {"a", "b", "c"}, config.seed);
  Trainer first(model, config, photos, &photos, options());
  const TrainResult result = first.run();
  if (stop_after < 0) {
    CHECK(result.end == TrainEnd::finished);
    return bytes_of(folder / "last.safetensors");
  }
  CHECK(result.end == TrainEnd::interrupted);
  CHECK(result.iterations == stop_after);
  const Checkpoint checkpoint = read_checkpoint(folder / "last.safetensors");
  Model again = to_model(checkpoint, "last", true);
  Trainer second(again, train_config_from_json(checkpoint.state["config"]), photos, &photos, options());
  second.resume(checkpoint);
  CHECK(second.run().end == TrainEnd::finished);
  return bytes_of(folder / "last.safetensors");
}

}  // namespace

TEST_CASE("a run that was interrupted ends in the same file as one that was not") {
  for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    Model model = make_model(small_cfg(), {}, 1);
    TrainConfig config = small_config(model);
    config.optimizer = optimizer;
    if (optimizer == OptimizerKind::sgd) config.schedule.base = 0.005f;
    const std::string whole = last_checkpoint(config, -1);
    CHECK(whole == last_checkpoint(config, -1));
    CHECK(whole == last_checkpoint(config, 3));
    config.seed = 2;
    CHECK(whole != last_checkpoint(config, -1));
  }
}

TEST_CASE("a small network learns eight photos") {
  const Folder folder;
  const PhotoCache photos = PhotoCache::synthetic(8, 64, 64, 3);
  Model model = make_model(small_cfg(), {"a", "b", "c"}, 1);
  TrainConfig config = small_config(model);
  config.subdivisions = 1;
  config.epochs = 100;
  config.eval_every = 0;
  config.augment = {.flip = 0};
  config.schedule.base = 5e-3f;
  TrainerOptions options;
  options.backend = &cpu_backend();
  options.folder = folder;
  std::vector<float> losses;
  options.on_step = [&](const StepInfo& step) {
    losses.push_back(step.loss.box + step.loss.objectness + step.loss.classes);
  };
  Trainer trainer(model, config, photos, nullptr, options);
  trainer.run();
  REQUIRE(losses.size() == 200);
  MESSAGE("loss " << losses.front() << " -> " << losses.back());
  CHECK(losses.back() < losses.front() / 2);
}

TEST_CASE("a loss that is not a number stops the run, names what it saw, and leaves the last good checkpoint") {
  const Folder folder;
  const PhotoCache photos = PhotoCache::synthetic(8, 64, 64, 3);
  Model model = make_model(small_cfg(), {"a", "b", "c"}, 1);
  TrainConfig config = small_config(model);
  TrainerOptions options;
  options.backend = &cpu_backend();
  options.folder = folder;
  Trainer(model, config, photos, nullptr, options).run();
  const std::string good = bytes_of(folder / "last.safetensors");
  const int objectness = 4 * 32;  // first weight of that filter of the head's convolution, 32 channels in
  model.params->value(*model.params->find(5, ParamRole::weights))[objectness] = std::numeric_limits<float>::quiet_NaN();
  Trainer trainer(model, config, photos, nullptr, options);
  CHECK_THROWS_WITH_AS(trainer.run(), doctest::Contains("iteration 1: the loss is not finite"), Error);
  CHECK(bytes_of(folder / "last.safetensors") == good);
  CHECK_NOTHROW(read_checkpoint(folder / "last.safetensors"));
}

}  // namespace rook
