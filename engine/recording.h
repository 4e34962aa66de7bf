// Work that is launched again and again with the same pointers, recorded as a graph of the device after its first run.
#pragma once

#include <utility>

#include "kernels/runtime.h"

namespace rook {

// A graph of what `work` puts on the stream. When it throws, the recording is ended all the same.
template <class Work>
RecordedGraph record_graph(const DeviceRuntime& runtime, Stream stream, Work&& work) {
  runtime.begin_recording(stream);
  try {
    work();
  } catch (...) {
    try {
      runtime.destroy_graph(runtime.end_recording(stream));
    } catch (...) {  // NOLINT(bugprone-empty-catch): its own failure would hide the reason
    }
    throw;
  }
  return runtime.end_recording(stream);
}

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
    graph_ = record_graph(*runtime_, stream_, work);
    runtime_->replay(graph_, stream_);
  }

  // The pointers have changed: the next run starts anew.
  void forget() {
    if (graph_.handle) runtime_->destroy_graph(std::exchange(graph_, {}));
    ran_ = false;
  }

 private:
  const DeviceRuntime* runtime_;
  Stream stream_;
  RecordedGraph graph_;
  bool ran_ = false;
};

}  // namespace rook
