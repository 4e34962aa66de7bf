// Work that is launched again and again with the same pointers, recorded as a graph of the device after its first run.
#pragma once

#include <utility>

#include "kernels/runtime.h"

namespace rook {

class Recording {
 public:
  Recording(const DeviceRuntime& runtime, Stream stream) : runtime_(&runtime), stream_(stream) {}
  Recording(Recording&& other) noexcept
      : runtime_(other.runtime_),
        stream_(other.stream_),
        graph_(std::exchange(other.graph_, {})),
        ran_(std::exchange(other.ran_, false)) {}
  Recording& operator=(Recording&&) = delete;
  ~Recording() { forget(); }

  // Puts `work` on the stream. The first time as it is, because kernels are loaded at their first launch; the second
  // time it is recorded, and from then on the recording is replayed. Where the host's memory is the device's there is
  // nothing to gain, and it is always called. `work` must neither allocate, nor wait, nor read what the device wrote.
  template <class Work>
  void run(Work&& work) {
    if (graph_.handle) return runtime_->replay(graph_, stream_);
    if (!ran_ || runtime_->host_memory) {
      ran_ = true;
      return work();
    }
    runtime_->begin_recording(stream_);
    try {
      work();
    } catch (...) {
      abandon();
      throw;
    }
    graph_ = runtime_->end_recording(stream_);
    runtime_->replay(graph_, stream_);
  }

  // The pointers have changed: the next run starts anew.
  void forget() {
    if (graph_.handle) runtime_->destroy_graph(std::exchange(graph_, {}));
    ran_ = false;
  }

 private:
  // Ends a recording that failed half-way; its own failure would hide the reason.
  void abandon() noexcept {
    try {
      runtime_->destroy_graph(runtime_->end_recording(stream_));
    } catch (...) {  // NOLINT(bugprone-empty-catch): see above
    }
  }

  const DeviceRuntime* runtime_;
  Stream stream_;
  RecordedGraph graph_;
  bool ran_ = false;
};

}  // namespace rook
