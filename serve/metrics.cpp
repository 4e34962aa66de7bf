#include "serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <fstream>

namespace rook::serve {
namespace {

constexpr std::array kSeconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};
constexpr std::array kPhotos{1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0};

std::string head(const char* name, const char* type, const char* help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <class T>
std::string single(const char* name, const char* type, const char* help, T value) {
  return head(name, type, help) + fmt::format("{} {}\n", name, value);
}

}  // namespace

void Histogram::add(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
  ++count_;
  sum_ += value;
}

std::string Histogram::text(const char* name) const {
  std::string lines;
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    below += counts_[i];
    lines += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bounds_[i], below);
  }
  return lines + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, count_, sum_);
}

Metrics::Metrics()
    : request_seconds_(kSeconds),
      batch_seconds_(kSeconds),
      batch_photos_(kPhotos),
      start_s_(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count()) {}

void Metrics::request(const std::string& path, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
  request_seconds_.add(seconds);
}

void Metrics::batch(int photos, double seconds) {
  const std::lock_guard lock(mutex_);
  batch_photos_.add(photos);
  batch_seconds_.add(seconds);
  photos_ += static_cast<std::uint64_t>(photos);
}

void Metrics::detections(std::size_t boxes) {
  const std::lock_guard lock(mutex_);
  detections_ += boxes;
}

std::string Metrics::text(int queued, int connections) const {
  const std::lock_guard lock(mutex_);
  std::string text = head("rook_requests_total", "counter", "Requests by path and status.");
  for (const auto& [key, count] : requests_)
    text += fmt::format("rook_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
  text += head("rook_request_seconds", "histogram", "From the first byte of a request to its answer.");
  text += request_seconds_.text("rook_request_seconds");
  text += head("rook_batch_photos", "histogram", "Photos per forward pass.") + batch_photos_.text("rook_batch_photos");
  text += head("rook_batch_seconds", "histogram", "Time of a forward pass, resizing and suppression included.");
  text += batch_seconds_.text("rook_batch_seconds");
  text += single("rook_photos_total", "counter", "Photos that went through the network.", photos_);
  text += single("rook_detections_total", "counter", "Boxes that were answered.", detections_);
  text += single("rook_queue_photos", "gauge", "Photos that wait or run.", queued);
  text += single("rook_connections", "gauge", "Open connections.", connections);
  text += single("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident_bytes());
  text +=
      single("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", start_s_);
  return text;
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t whole = 0, resident = 0;
  statm >> whole >> resident;
  return statm ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace rook::serve
