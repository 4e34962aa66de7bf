// rook bench net and train: whole networks and training steps.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>

#include "app/bench/bench.h"
#include "app/bench/timing.h"
#include "app/checks.h"
#include "base/error.h"
#include "kernels/philox.h"
#include "model/checkpoint.h"
#include "model/train_config.h"
#include "model/trainer.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

namespace fs = std::filesystem;

struct BenchNetworksFlags {
  std::string arch = "yolov4-tiny", json;
  ComputeOptions compute;
  std::vector<int> batches{1};
  int size = 0, repetitions = 20, classes = 0, starts = 0;
  double seconds = std::numeric_limits<double>::infinity();
  bool parts = false;
};

constexpr int kUntimed = 2;

io::Cfg cfg_of(const BenchNetworksFlags& o) {
  io::Cfg cfg = find_cfg(o.arch, {});
  if (o.classes > 0) cfg.set_classes(o.classes);
  return cfg;
}

// A folder that is gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "rook-bench-XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error(fmt::format("{}: cannot be made: {}", name, std::strerror(errno)));
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Noise, the same every time.
io::Image random_image(int width, int height) {
  io::Image image{.width = width, .height = height};
  image.pixels.resize(static_cast<std::size_t>(width) * height * 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(philox(philox_key(1), {.slot = static_cast<std::uint32_t>(i)}).x >> 24);
  return image;
}

// Random numbers in 0..1, never zeros: kernels must not profit from easy input. Line by line: a whole copy would be
// part of the peak memory that is reported.
void fill_random(Executor& executor) {
  const Tensor x = executor.input();
  if (!x.dense()) throw Error("bench: the network's input is not dense");
  const DeviceRuntime& runtime = executor.runtime();
  const std::size_t line = static_cast<std::size_t>(x.w) * x.c, lines = static_cast<std::size_t>(x.n) * x.h;
  std::vector<float> values(line);
  std::vector<std::byte> stored(line * size_of(x.dtype));
  for (std::size_t i = 0; i < lines; ++i) {
    for (std::size_t j = 0; j < line; ++j)
      values[j] = philox_uniform(philox(philox_key(1), {.slot = static_cast<std::uint32_t>(i * line + j)}).x);
    ref::copy_channels({.src = make_tensor(values.data(), DType::f32, 1, 1, x.w, x.c),
                        .dst = make_tensor(stored.data(), x.dtype, 1, 1, x.w, x.c)});
    runtime.copy(static_cast<std::byte*>(x.data) + i * stored.size(), stored.data(), stored.size(), executor.stream());
    runtime.synchronize(executor.stream());  // `stored` is written again
  }
}

// Runs this very program; its output goes nowhere. Throws Error when it fails.
void run_self(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw Error(fmt::format("cannot start {}: {}", arguments.front(), std::strerror(failed)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw Error(fmt::format("cannot wait for {}: {}", arguments.front(), std::strerror(errno)));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error("the program started for --starts failed; its words stand above");
}

// From the start of a program to the boxes of its first photo: `rook detect` with a checkpoint and a PNG of the
// network's size, files in the page cache.
Timing time_starts(const BenchNetworksFlags& o, const Model& model, DType type, int width, int height) {
  const TemporaryFolder folder;
  const fs::path checkpoint_file = folder.path() / "model.safetensors", picture = folder.path() / "picture.png";
  const auto values = model.params->values();
  Checkpoint checkpoint;
  checkpoint.cfg = model.network->cfg.to_text();
  checkpoint.cfg_name = model.network->cfg.name;
  checkpoint.names = model.names;
  checkpoint.preprocess = model.preprocess;
  checkpoint.values.assign(values.begin(), values.end());
  write_checkpoint(checkpoint_file, *model.network, *model.params, checkpoint);
  io::write_image(picture, random_image(width, height));
  std::vector<std::string> command{"rook",        "detect",        "--model",  checkpoint_file.string(),
                                   "--precision", name_of(type),   "--device", std::string(o.compute.backend().name),
                                   "--quiet",     picture.string()};
  if (o.size) command.insert(command.end() - 1, {"--size", std::to_string(o.size)});
  return time_calls(1, o.starts, [&] { run_self(command); });
}

nlohmann::json heading(const BenchNetworksFlags& o, const char* what, DType type, int width, int height) {
  nlohmann::json json = measured_on(o.compute.backend());
  json.update({{"bench", what},
               {"network", o.arch},
               {"width", width},
               {"height", height},
               {"precision", name_of(type)},
               {"rows", nlohmann::json::array()}});
  return json;
}

// Adds a row to the report and prints it.
void report(const BenchNetworksFlags& o, nlohmann::json& result, int batch, const Timing& t,
            const nlohmann::json& more) {
  nlohmann::json row = to_json(t);
  row.update({{"batch", batch}, {"images_per_s", batch / t.median}, {"peak_mb", peak_megabytes()}});
  row.update(more);
  if (o.json != "-")
    fmt::print(
        "{} {} at {}x{}, batch {}, {}: {:.2f} ms (min {:.2f}, max {:.2f}), {:.1f} photos/s, peak memory {:.0f} MB{}\n",
        result["bench"].get<std::string>(), o.arch, result["width"].get<int>(), result["height"].get<int>(), batch,
        result["precision"].get<std::string>(), t.median * 1e3, t.least * 1e3, t.most * 1e3, batch / t.median,
        row["peak_mb"].get<double>(), t.spread() > kUnsteady ? "  unsteady" : "");
  result["rows"].push_back(std::move(row));
}

void bench_net(const BenchNetworksFlags& o) {
  Model model = make_model(cfg_of(o), {}, 1);
  const DType type = o.compute.dtype(false);
  const int width = o.size ? o.size : model.network->width, height = o.size ? o.size : model.network->height;
  nlohmann::json result = heading(o, "net", type, width, height);
  if (o.starts > 0) {
    const Timing start = time_starts(o, model, type, width, height);
    result["start"] = to_json(start);
    if (o.json != "-")
      fmt::print("from the start of rook detect to the boxes of one photo: {:.0f} ms (min {:.0f}, max {:.0f})\n",
                 start.median * 1e3, start.least * 1e3, start.most * 1e3);
  }
  for (const int batch : o.batches) {
    Detector detector(*model.network, *model.params, model.preprocess,
                      {.backend = &o.compute.backend(),
                       .compute = type,
                       .batch = batch,
                       .width = width,
                       .height = height,
                       .threshold = 0.25f,
                       .conv = o.compute.convs()});
    fill_random(detector.executor());
    const Timing timing = time_calls(
        kUntimed, o.repetitions, [&] { detector.run(batch); }, o.seconds);
    report(o, result, batch, timing, nlohmann::json::object());
  }
  if (!o.json.empty()) write_json(o.json, result);
}

// Photos per second that are decoded and brought to the network's size, as at the start of a training: JPEG files of
// 1280x720 noise, which take longer than most photos.
double load_rate(const Preprocess& preprocess, int width, int height) {
  constexpr int kPhotos = 16, kWidth = 1280, kHeight = 720;
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "photo.jpg";
  io::write_image(file, random_image(kWidth, kHeight));
  io::Split split{.name = "train", .images = {}};
  for (int i = 0; i < kPhotos; ++i)
    split.images.push_back({.file = file, .name = "photo.jpg", .width = kWidth, .height = kHeight, .boxes = {}});
  const Timing timing = time_calls(1, 3, [&] { PhotoCache(split, width, height, preprocess); });
  return kPhotos / timing.median;
}

// Steps whose parts are waited for, apart from those that are timed whole: photos per second of each part.
nlohmann::json part_rates(Trainer& trainer, const Model& model, int batch, int steps, int width, int height) {
  StepTimes times;
  trainer.time_parts(&times);
  for (int i = 0; i < steps && !interrupted(); ++i) trainer.step();
  trainer.finish_steps();
  trainer.time_parts(nullptr);
  if (interrupted()) throw Error("interrupted");
  const double photos = static_cast<double>(batch) * steps;
  return {{"load", load_rate(model.preprocess, width, height)},
          {"augment", photos / times.augment},
          {"forward", photos / times.forward},
          {"loss", photos / times.loss},
          {"backward", photos / times.backward},
          {"update", photos / times.update}};
}

// Whole training steps on synthetic photos: augmentation, forward, loss, backward, update, average.
void bench_train(const BenchNetworksFlags& o) {
  nlohmann::json result;
  for (const int batch : o.batches) {
    Model model = make_model(cfg_of(o), {}, 1);
    TrainConfig config = recipe("scratch", model.network->cfg);
    config.optimizer = OptimizerKind::adamw;  // the one that other frameworks have too
    config.batch = batch;
    config.precision = o.compute.dtype(true);
    config.width = config.height = o.size;
    config.eval_every = 0;
    const int width = o.size ? o.size : model.network->width, height = o.size ? o.size : model.network->height;
    const PhotoCache photos = PhotoCache::synthetic(4 * batch, width, height, model.network->classes());
    config.epochs = 0;
    config.schedule.iterations = kUntimed + 2 * o.repetitions;
    config.mosaic_until = 1;
    Trainer trainer(model, config, photos, nullptr,
                    {.backend = &o.compute.backend(), .folder = "", .conv = o.compute.convs()});
    const Timing timing = time_calls(
        kUntimed, o.repetitions, [&] { trainer.step(); }, o.seconds);
    if (result.is_null()) result = heading(o, "train", config.precision, width, height);
    nlohmann::json more = nlohmann::json::object();
    if (o.parts) {
      more["peak_mb"] = peak_megabytes();  // without what decoding photos takes
      more["parts_images_per_s"] = part_rates(trainer, model, batch, std::min(o.repetitions, 10), width, height);
    }
    report(o, result, batch, timing, more);
    if (o.parts && o.json != "-")
      for (const char* part : {"load", "augment", "forward", "loss", "backward", "update"})
        fmt::print("  {:<9} {:>10.1f} photos/s\n", part, more["parts_images_per_s"][part].get<double>());
  }
  if (!o.json.empty()) write_json(o.json, result);
}

void add_common(CLI::App& c, const std::shared_ptr<BenchNetworksFlags>& o) {
  c.add_option("--arch", o->arch, "network: a cfg file or one of ours")->capture_default_str();
  c.add_option("--classes", o->classes, "classes of the heads (default: the cfg's)")->check(between(1, 10000));
  add_size(c, o->size, "the cfg's");
  c.add_option("--batch", o->batches, "photos at a time; of a list each is timed")
      ->delimiter(',')
      ->capture_default_str()
      ->check(between(1, 1024));
  c.add_option("--repetitions", o->repetitions, "timed runs")->capture_default_str()->check(between(1, 100000));
  c.add_option("--seconds", o->seconds,
               "time after which no further run of a batch size begins, but for the first five (default: no limit)")
      ->check(between(0.0, 3600.0));
  c.add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
  o->compute.add(c);
}

}  // namespace

void add_bench_net(CLI::App& bench) {
  auto o = std::make_shared<BenchNetworksFlags>();
  CLI::App* c = bench.add_subcommand("net", "inference: forward, decode and NMS");
  add_common(*c, o);
  c->add_option("--starts", o->starts, "how often to time a whole `rook detect`, from its start to its end")
      ->check(between(0, 1000));
  c->footer(
      "Peak memory is that of the process so far: ask for one batch size to have its own.\nExample:\n  rook bench net "
      "--arch yolov4-tiny --precision bf16 --batch 1,8 --starts 5");
  c->callback([o] {
    install_interrupt();
    bench_net(*o);
  });
}

void add_bench_train(CLI::App& bench) {
  auto o = std::make_shared<BenchNetworksFlags>();
  CLI::App* c = bench.add_subcommand("train", "whole training steps");
  add_common(*c, o);
  c->add_flag("--parts", o->parts,
              "also photos per second of each part: load, augment, forward, loss, backward, update");
  c->footer("Example:\n  rook bench train --arch yolov4-tiny --batch 8 --classes 12 --parts --json -");
  c->callback([o] {
    install_interrupt();
    bench_train(*o);
  });
}

}  // namespace rook::app
