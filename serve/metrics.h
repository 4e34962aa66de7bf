// What /metrics says: counters and histograms in the text format of Prometheus (version 0.0.4).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>

namespace rook::serve {

// Counts how many values were at most as large as each bound.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds) {}
  void add(double value);
  // The lines of `name`: _bucket for each bound and +Inf, _sum, _count.
  std::string text(const char* name) const;

 private:
  std::span<const double> bounds_;
  std::array<std::uint64_t, 24> counts_{};  // the last used one: above all bounds
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

class Metrics {
 public:
  Metrics();
  // `path` is one of those the server knows, or "other".
  void request(const std::string& path, int status, double seconds);
  void batch(int photos, double seconds);
  void detections(std::size_t boxes);

  // `queued`: photos that wait or run, `connections`: open ones.
  std::string text(int queued, int connections) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_;  // by path and status
  Histogram request_seconds_, batch_seconds_, batch_photos_;
  std::uint64_t photos_ = 0, detections_ = 0;
  double start_s_ = 0;  // Unix time
};

// Bytes of memory this process holds (resident set); 0 where /proc is missing.
std::uint64_t resident_bytes();

}  // namespace rook::serve
