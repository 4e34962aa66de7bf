#include "serve/batcher.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace rook::serve {
namespace {

// Photos that suppression treats alike can share a pass: the lowest confidence of them finds the boxes of all, for a
// weaker box never suppresses a stronger one.
bool can_share(const DetectSettings& a, const DetectSettings& b) {
  return a.nms_kind == b.nms_kind && a.nms_threshold == b.nms_threshold;
}

}  // namespace

Batcher::Ticket::~Ticket() {
  if (!batcher_) return;
  const std::lock_guard lock(batcher_->mutex_);
  batcher_->queued_ -= photos_;
  batcher_->queued_bytes_ -= bytes_;
}

Batcher::Batcher(const Model& model, const BatcherOptions& options) : options_(options) {
  DetectorOptions detector = options.detector;
  for (int batch = 1; batch <= std::max(1, options.detector.batch); batch *= 2) {
    detector.batch = batch;
    detectors_.push_back(std::make_unique<Detector>(*model.network, *model.params, model.preprocess, detector));
  }
  worker_ = std::thread([this] { work(); });
}

Batcher::~Batcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

std::optional<Batcher::Ticket> Batcher::admit(int photos, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (photos > options_.queue - queued_ || bytes > options_.queue_bytes - queued_bytes_) return std::nullopt;
  queued_ += photos;
  queued_bytes_ += bytes;
  return std::optional<Ticket>(std::in_place, *this, photos, bytes);
}

int Batcher::queued() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

std::vector<Found> Batcher::detect(std::span<const Decode> photos, const DetectSettings& settings) {
  std::vector<std::future<Found>> futures;
  {
    const std::lock_guard lock(mutex_);
    for (const Decode& photo : photos) {
      jobs_.push_back({.decode = &photo, .settings = settings, .found = {}});
      futures.push_back(jobs_.back().found.get_future());
    }
  }
  changed_.notify_one();
  // The worker reads the photos: none may go before all are done, also when one fails.
  for (const std::future<Found>& future : futures) future.wait();
  std::vector<Found> all;
  for (std::future<Found>& future : futures) all.push_back(future.get());
  return all;
}

void Batcher::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    std::vector<Job> jobs = take();
    lock.unlock();
    decode(jobs);
    // Photos may have failed: what is left fills one detector or several smaller ones.
    for (std::span<Job> left(jobs); !left.empty();) {
      const std::size_t count = std::bit_floor(left.size());
      run(left.first(count));
      left = left.subspan(count);
    }
    lock.lock();
  }
}

// The first that waits and those behind it that can share its pass, as many as the largest detector they fill.
std::vector<Batcher::Job> Batcher::take() {
  const DetectSettings settings = jobs_.front().settings;
  const auto fits = [&](const Job& job) { return can_share(job.settings, settings); };
  const auto waiting = static_cast<unsigned>(std::count_if(jobs_.begin(), jobs_.end(), fits));
  const std::size_t count = std::bit_floor(std::min(waiting, static_cast<unsigned>(detectors_.back()->batch())));
  std::vector<Job> taken;
  for (auto job = jobs_.begin(); job != jobs_.end() && taken.size() < count;) {
    if (!fits(*job)) {
      ++job;
      continue;
    }
    taken.push_back(std::move(*job));
    job = jobs_.erase(job);
  }
  return taken;
}

// Jobs whose photo cannot be decoded are told so, and go.
void Batcher::decode(std::vector<Job>& jobs) {
  std::vector<char> failed(jobs.size(), 0);
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    try {
      jobs[i].photo = (*jobs[i].decode)();
    } catch (...) {
      failed[i] = 1;
      jobs[i].found.set_exception(std::current_exception());
    }
  }
  std::size_t at = 0;
  std::erase_if(jobs, [&](const Job&) { return failed[at++] != 0; });
}

void Batcher::run(std::span<Job> jobs) {
  Detector& detector = *detectors_[static_cast<std::size_t>(std::countr_zero(jobs.size()))];
  try {
    const auto start = std::chrono::steady_clock::now();
    float conf = jobs.front().settings.conf;
    for (const Job& job : jobs) conf = std::min(conf, job.settings.conf);
    detector.set_thresholds(conf, jobs.front().settings.nms_kind, jobs.front().settings.nms_threshold);
    const int count = static_cast<int>(jobs.size());
    for (int i = 0; i < count; ++i) detector.load(i, jobs[static_cast<std::size_t>(i)].photo);
    std::vector<std::vector<Detection>> boxes = detector.run(count);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (on_batch) on_batch(count, seconds);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const DetectSettings& settings = jobs[i].settings;
      std::erase_if(boxes[i], [&](const Detection& box) { return !(box.score > settings.conf); });
      if (settings.most > 0 && boxes[i].size() > static_cast<std::size_t>(settings.most))
        boxes[i].resize(static_cast<std::size_t>(settings.most));
      jobs[i].found.set_value({.boxes = std::move(boxes[i]),
                               .width = jobs[i].photo.width,
                               .height = jobs[i].photo.height,
                               .ms = seconds * 1e3 / count});
    }
  } catch (...) {
    // One photo at a time, so that a photo that fails takes no other with it.
    if (jobs.size() > 1) {
      for (Job& job : jobs) run({&job, 1});
      return;
    }
    jobs.front().found.set_exception(std::current_exception());
  }
}

}  // namespace rook::serve
