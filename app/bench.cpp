// rook bench: how fast networks run and train on this machine.
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>

#include "app/common.h"
#include "base/error.h"
#include "kernels/philox.h"
#include "model/train_config.h"
#include "model/trainer.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

struct Options {
  std::string arch = "yolov4-tiny", json;
  ComputeOptions compute;
  int size = 0, batch = 1, repetitions = 20, classes = 0;
};

struct Spread {
  double median, least, most;
};

constexpr int kUntimed = 2;

// Seconds of `repetitions` calls after those that do not count.
Spread time(int repetitions, const std::function<void()>& run) {
  for (int i = 0; i < kUntimed; ++i) run();
  std::vector<double> seconds;
  for (int i = 0; i < repetitions && !interrupted(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  if (seconds.empty()) throw Error("interrupted");
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

// Of this program alone. Not getrusage's ru_maxrss: Linux lets a child inherit that of the process it was forked from.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (double kilobytes = 0; std::sscanf(line.c_str(), "VmHWM: %lf kB", &kilobytes) == 1) return kilobytes / 1024;
  throw Error("/proc/self/status: has no VmHWM, the largest memory of this process; is /proc mounted?");
}

void report(const Options& o, const char* what, DType type, int width, int height, const Spread& s) {
  const nlohmann::json json = {{"bench", what},
                               {"network", o.arch},
                               {"width", width},
                               {"height", height},
                               {"batch", o.batch},
                               {"precision", name_of(type)},
                               {"device", o.compute.backend().name},
                               {"ms_median", s.median * 1e3},
                               {"ms_min", s.least * 1e3},
                               {"ms_max", s.most * 1e3},
                               {"images_per_s", o.batch / s.median},
                               {"peak_mb", peak_megabytes()}};
  if (!o.json.empty()) write_json(o.json, json);
  if (o.json != "-")
    fmt::print(
        "{} {} at {}x{}, batch {}, {}: {:.2f} ms (min {:.2f}, max {:.2f}), {:.1f} photos/s, peak memory {:.0f} MB\n",
        what, o.arch, width, height, o.batch, name_of(type), s.median * 1e3, s.least * 1e3, s.most * 1e3,
        o.batch / s.median, peak_megabytes());
}

io::Cfg cfg_of(const Options& o) {
  io::Cfg cfg = find_cfg(o.arch, {});
  if (o.classes > 0) cfg.set_classes(o.classes);
  return cfg;
}

// Random numbers in 0..1, never zeros: kernels must not profit from easy input.
void fill_random(const Tensor& x) {
  std::vector<float> values(static_cast<std::size_t>(x.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = philox_uniform(philox(philox_key(1), {.slot = static_cast<std::uint32_t>(i)}).x);
  cpu::copy_channels({.src = make_tensor(values.data(), DType::f32, x.n, x.h, x.w, x.c), .dst = x});
}

void bench_net(const Options& o) {
  Model model = make_model(cfg_of(o), {}, 1);
  const DType type = o.compute.dtype(false);
  Detector detector(*model.network, *model.params, model.preprocess,
                    {.backend = &o.compute.backend(),
                     .compute = type,
                     .batch = o.batch,
                     .width = o.size,
                     .height = o.size,
                     .threshold = 0.25f,
                     .conv = o.compute.conv});
  fill_random(detector.executor().input());
  const Spread spread = time(o.repetitions, [&] { detector.run(o.batch); });
  report(o, "net", type, detector.width(), detector.height(), spread);
}

// Whole training steps on synthetic photos: augmentation, forward, loss, backward, update, average.
void bench_train(const Options& o) {
  Model model = make_model(cfg_of(o), {}, 1);
  TrainConfig config = recipe("scratch", model.network->cfg);
  config.batch = o.batch;
  config.precision = o.compute.dtype(true);
  config.width = config.height = o.size;
  config.eval_every = 0;
  const int width = o.size ? o.size : model.network->width, height = o.size ? o.size : model.network->height;
  const PhotoCache photos = PhotoCache::synthetic(4 * o.batch, width, height, model.network->classes());
  config.epochs = 0;
  config.schedule.iterations = kUntimed + o.repetitions;
  config.mosaic_until = 1;
  Trainer trainer(model, config, photos, nullptr,
                  {.backend = &o.compute.backend(), .folder = "", .conv = o.compute.conv});
  const Spread spread = time(o.repetitions, [&] { trainer.step(); });
  report(o, "train", config.precision, width, height, spread);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("bench", "time networks and training on this machine");
  c->require_subcommand(1);
  const auto common = [o](CLI::App* sub) {
    sub->add_option("--arch", o->arch, "network: a cfg file or one of ours")->capture_default_str();
    sub->add_option("--classes", o->classes, "classes of the heads (default: the cfg's)");
    sub->add_option("--size", o->size, "side of the network's input (default: the cfg's)");
    sub->add_option("--batch", o->batch, "photos at a time")->capture_default_str()->check(CLI::Range(1, 1024));
    sub->add_option("--repetitions", o->repetitions, "timed runs")->capture_default_str()->check(CLI::Range(1, 100000));
    sub->add_option("--json", o->json, "as JSON to a file, or to standard output (-)");
    o->compute.add(*sub);
  };
  CLI::App* net = c->add_subcommand("net", "inference: forward, decode and NMS");
  common(net);
  net->footer("Example:\n  rook bench net --arch yolov4-tiny --precision bf16");
  net->callback([o] {
    install_interrupt();
    bench_net(*o);
  });
  CLI::App* train = c->add_subcommand("train", "whole training steps");
  common(train);
  train->footer("Example:\n  rook bench train --arch yolov4-tiny --batch 8 --classes 12 --json -");
  train->callback([o] {
    install_interrupt();
    bench_train(*o);
  });
  c->footer(
      "Examples:\n  rook bench net --arch yolov4-tiny --precision bf16\n  rook bench train --arch yolov4-tiny --batch "
      "8 --classes 12");
}

}  // namespace rook::app
