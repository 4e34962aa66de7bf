// Measuring: contestants in turn, on the device's own clock, with the spread that says whether the machine was quiet.
#pragma once

#include <exception>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"

namespace rook::app {

// Of the samples of one contestant, in seconds per run.
struct Timing {
  double median = 0, least = 0, most = 0;
  double quarter = 0, three_quarters = 0;  // a quarter of the samples lies below, and above
  int samples = 0;
  int runs_per_sample = 1;
  double spread() const { return three_quarters / quarter; }
};

Timing summarize(std::vector<double> seconds, int runs_per_sample = 1);
// ms_median, ms_min, ms_max, ms_q25, ms_q75, samples.
nlohmann::json to_json(const Timing& timing);

struct TimingLimits {
  double seconds = 0.3;  // of one contestant's samples, unless `least_samples` need more
  int least_samples = 5, most_samples = 200;
};

// What is timed. The runs of a sample go through the instances in turn: copies with memory of their own, so that a
// cache holds none of them.
struct Contestant {
  std::vector<std::function<void()>> instances;  // each puts its work on the stream
};

// Samples of all contestants in turn (A B A B) after a warm-up: one sample is many runs where one is short. On a GPU
// the runs of a sample are one recorded graph between two events. Throws what the first of them that failed threw;
// Error "interrupted" after Ctrl-C.
std::vector<Timing> time_in_turn(const Backend& backend, Stream stream, const std::vector<Contestant>& contestants,
                                 const TimingLimits& limits);

// The same where a contestant that throws leaves the others to go on.
struct TimedOrFault {
  Timing timing;
  std::exception_ptr fault;  // null: it was timed
};
std::vector<TimedOrFault> time_each_in_turn(const Backend& backend, Stream stream,
                                            const std::vector<Contestant>& contestants, const TimingLimits& limits);

// Bytes that instances of a case must have together so that no cache of the device holds them.
double cache_bytes(const Backend& backend);

// The same for what runs on the host and returns when it is done: `untimed` runs, then up to `repetitions`, five of
// them or as many as begin within `most_seconds`.
Timing time_calls(int untimed, int repetitions, const std::function<void()>& run,
                  double most_seconds = std::numeric_limits<double>::infinity());

// A spread of the middle half above this means that something else was running.
inline constexpr double kUnsteady = 1.15;

// Of this program alone, in MB.
double peak_megabytes();
// "2026-01-31T12:34:56Z"
std::string utc_now();
// Device, its libraries, threads, date: what a result file says of where it was measured.
nlohmann::json measured_on(const Backend& backend);

}  // namespace rook::app
