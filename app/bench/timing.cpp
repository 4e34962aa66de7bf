#include "app/bench/timing.h"

#include <fmt/format.h>
#include <omp.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <utility>

#include "app/common.h"
#include "base/error.h"
#include "engine/recording.h"
#include "model/conv_cache.h"

namespace rook::app {
namespace {

constexpr int kLeastCalls = 5;                     // even where those take too long
constexpr double kSampleSeconds[] = {2e-3, 5e-4};  // at least, of a sample: on the CPU, on a GPU

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Samples of one contestant.
class Sampler {
 public:
  Sampler(const Backend& backend, Stream stream, const Contestant& contestant)
      : runtime_(*backend.runtime), stream_(stream), contestant_(contestant), events_(backend.device == Device::cuda) {
    if (!events_) return;
    from_ = runtime_.create_event();
    to_ = runtime_.create_event();
  }
  ~Sampler() {
    if (!events_) return;
    if (graph_.handle) runtime_.destroy_graph(graph_);
    runtime_.destroy_event(from_);
    runtime_.destroy_event(to_);
  }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Touches every instance, then finds how many runs make a sample.
  void warm_up() {
    for (const auto& run : contestant_.instances) run();
    runtime_.synchronize(stream_);
    const double start = now();
    next();
    runtime_.synchronize(stream_);
    const double once = std::max(now() - start, 1e-7), wanted = kSampleSeconds[events_];
    runs_ = once >= wanted ? 1 : std::min(1000, static_cast<int>(std::ceil(wanted / once)));
    if (events_) record();
    estimate_ = sample();
  }
  // Seconds per run.
  double sample() {
    double seconds = 0;
    if (events_) {
      runtime_.record(from_, stream_);
      runtime_.replay(graph_, stream_);
      runtime_.record(to_, stream_);
      runtime_.wait(to_);
      seconds = static_cast<double>(runtime_.milliseconds(from_, to_)) * 1e-3;
    } else {
      const double start = now();
      for (int i = 0; i < runs_; ++i) next();
      runtime_.synchronize(stream_);
      seconds = now() - start;
    }
    return seconds / runs_;
  }
  double estimate() const { return estimate_ * runs_; }  // of a whole sample
  int runs() const { return runs_; }

 private:
  void next() {
    contestant_.instances[turn_]();
    turn_ = (turn_ + 1) % contestant_.instances.size();
  }
  void record() {
    graph_ = record_graph(runtime_, stream_, [&] {
      for (int i = 0; i < runs_; ++i) next();
    });
  }

  const DeviceRuntime& runtime_;
  Stream stream_;
  const Contestant& contestant_;
  bool events_;
  Event from_, to_;
  RecordedGraph graph_;
  std::size_t turn_ = 0;
  int runs_ = 1;
  double estimate_ = 0;
};

// Bytes of the largest cache of the CPU; 32 MiB where Linux does not say.
double largest_cpu_cache() {
  double largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    double size = 0;
    char unit = ' ';
    if (file >> size >> unit) largest = std::max(largest, size * (unit == 'M' ? 1 << 20 : 1 << 10));
  }
  return largest > 0 ? largest : 32 << 20;
}

}  // namespace

Timing summarize(std::vector<double> seconds, int runs_per_sample) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return seconds[static_cast<std::size_t>(share * static_cast<double>(seconds.size() - 1) + 0.5)];
  };
  return {.median = at(0.5),
          .least = seconds.front(),
          .most = seconds.back(),
          .quarter = at(0.25),
          .three_quarters = at(0.75),
          .samples = static_cast<int>(seconds.size()),
          .runs_per_sample = runs_per_sample};
}

nlohmann::json to_json(const Timing& t) {
  return {{"ms_median", t.median * 1e3}, {"ms_min", t.least * 1e3},          {"ms_max", t.most * 1e3},
          {"ms_q25", t.quarter * 1e3},   {"ms_q75", t.three_quarters * 1e3}, {"samples", t.samples}};
}

std::vector<TimedOrFault> time_each_in_turn(const Backend& backend, Stream stream,
                                            const std::vector<Contestant>& contestants, const TimingLimits& limits) {
  struct Turn {
    std::unique_ptr<Sampler> sampler;
    std::vector<double> seconds;
  };
  std::vector<Turn> turns(contestants.size());
  std::vector<TimedOrFault> results(contestants.size());
  // Runs body(contestant's number) of all that have not failed.
  const auto for_each = [&](const auto& body) {
    for (std::size_t c = 0; c < contestants.size(); ++c) {
      if (interrupted()) throw Error("interrupted");
      if (results[c].fault) continue;
      try {
        body(c);
      } catch (...) {
        results[c].fault = std::current_exception();
      }
    }
  };
  int samples = limits.most_samples;
  for_each([&](std::size_t c) {
    turns[c].sampler = std::make_unique<Sampler>(backend, stream, contestants[c]);
    turns[c].sampler->warm_up();
    samples = std::min(samples, static_cast<int>(limits.seconds / turns[c].sampler->estimate()));
  });
  samples = std::max(samples, limits.least_samples);
  for (int i = 0; i < samples; ++i)
    for_each([&](std::size_t c) { turns[c].seconds.push_back(turns[c].sampler->sample()); });
  for_each(
      [&](std::size_t c) { results[c].timing = summarize(std::move(turns[c].seconds), turns[c].sampler->runs()); });
  return results;
}

std::vector<Timing> time_in_turn(const Backend& backend, Stream stream, const std::vector<Contestant>& contestants,
                                 const TimingLimits& limits) {
  std::vector<Timing> timings;
  for (const TimedOrFault& result : time_each_in_turn(backend, stream, contestants, limits)) {
    if (result.fault) std::rethrow_exception(result.fault);
    timings.push_back(result.timing);
  }
  return timings;
}

double cache_bytes(const Backend& backend) {
  if (backend.device == Device::emu) return 0;  // its time says nothing of memory
  if (backend.device == Device::cuda) return 256 << 20;
  return std::min(2 * largest_cpu_cache(), 256.0 * (1 << 20));
}

Timing time_calls(int untimed, int repetitions, const std::function<void()>& run, double most_seconds) {
  for (int i = 0; i < untimed; ++i) run();
  std::vector<double> seconds;
  const double begin = now();
  for (int i = 0; i < repetitions && !interrupted(); ++i) {
    if (i >= kLeastCalls && now() - begin > most_seconds) break;
    const double start = now();
    run();
    seconds.push_back(now() - start);
  }
  if (seconds.empty()) throw Error("interrupted");
  return summarize(std::move(seconds));
}

// Not getrusage's ru_maxrss: Linux lets a child inherit that of the process it was forked from.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (double kilobytes = 0; std::sscanf(line.c_str(), "VmHWM: %lf kB", &kilobytes) == 1) return kilobytes / 1024;
  throw Error("/proc/self/status: has no VmHWM, the largest memory of this process; is /proc mounted?");
}

std::string utc_now() {
  const std::time_t time = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&time));
  return text;
}

nlohmann::json measured_on(const Backend& backend) {
  return {{"date", utc_now()},
          {"backend", backend.name},
          {"device", backend.device == Device::cuda ? backend.runtime->describe() : processor_name()},
          {"threads", omp_get_max_threads()}};
}

}  // namespace rook::app
