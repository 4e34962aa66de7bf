// Photos of many clients in one forward pass: a thread of its own owns the detectors, everyone else waits in a bounded
// queue.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "model/detector.h"

namespace rook::serve {

// What may differ from request to request.
struct DetectSettings {
  float conf = 0.25f;  // least confidence of a box
  NmsKind nms_kind = NmsKind::plain;
  float nms_threshold = 0.45f;
  int most = 0;  // boxes per photo, the surest ones; 0: all
};

// Gives the photo, or throws; called once, on any thread.
using Decode = std::function<io::Image()>;

struct Found {
  std::vector<Detection> boxes;
  int width = 0, height = 0;  // of the photo
  double ms = 0;              // the network's share of time for it
};

struct BatcherOptions {
  DetectorOptions detector;                          // its batch is the largest there will be
  int queue = 64;                                    // photos that wait or run at a moment
  std::size_t queue_bytes = std::size_t{512} << 20;  // of their pixels
};

class Batcher {
 public:
  // A promise of room in the queue, so that nobody decodes a photo that is then turned away. Given back when it goes.
  class Ticket {
   public:
    Ticket(Batcher& batcher, int photos, std::size_t bytes) : batcher_(&batcher), photos_(photos), bytes_(bytes) {}
    Ticket(Ticket&& other) noexcept
        : batcher_(std::exchange(other.batcher_, nullptr)), photos_(other.photos_), bytes_(other.bytes_) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket();

   private:
    Batcher* batcher_;
    int photos_;
    std::size_t bytes_;
  };

  // The model must outlive the batcher. Detectors for batches of 1, 2, 4, ... are made here: what does not fit in
  // memory is known at once.
  Batcher(const Model& model, const BatcherOptions& options);
  // Finishes what waits.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Room for so many photos with so many bytes of pixels together, or nothing when the queue is full. A request that is
  // larger than the whole queue never gets room.
  std::optional<Ticket> admit(int photos, std::size_t bytes);

  // What is on the photos, in their order. Waits for its turn; a ticket must be held. Throws what decoding or the
  // detector threw, of the first photo that failed. Photos are decoded by the cores that then run the network: beside
  // it they would only make its threads wait for each other. What is computed elsewhere should come decoded already.
  std::vector<Found> detect(std::span<const Decode> photos, const DetectSettings& settings);

  int width() const { return detectors_.front()->width(); }
  int height() const { return detectors_.front()->height(); }
  int largest_batch() const { return detectors_.back()->batch(); }
  int queued() const;  // photos that hold tickets
  // Called by the worker after each batch: its photos and the seconds it took. Set before the first photo comes.
  std::function<void(int photos, double seconds)> on_batch;

 private:
  struct Job {
    const Decode* decode;
    DetectSettings settings;
    std::promise<Found> found;
    io::Image photo = {};
  };

  void work();
  std::vector<Job> take();  // with the lock held
  static void decode(std::vector<Job>& jobs);
  void run(std::span<Job> jobs);

  BatcherOptions options_;
  std::vector<std::unique_ptr<Detector>> detectors_;  // for batches of 1, 2, 4, ...
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  int queued_ = 0;
  std::size_t queued_bytes_ = 0;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace rook::serve
