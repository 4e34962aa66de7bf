// Memory, order and time of a device: what the engine needs besides kernels. One table per device, as for the kernels.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/types.h"

namespace rook {

// A recorded sequence of kernels and copies that is replayed with one call.
struct RecordedGraph {
  void* handle = nullptr;
};

// A point of a stream's order, to wait for and to measure time with.
struct Event {
  void* handle = nullptr;
};

// All functions throw Error when the device reports one.
struct DeviceRuntime {
  // Whether the host reads and writes the device's memory directly, so that copies between them are not needed.
  bool host_memory = true;
  // Why the device cannot be used, in one line; empty when it can.
  std::string (*unusable)();
  // The device's name and the versions of its driver and libraries, for reports.
  std::string (*describe)();

  void* (*allocate)(std::size_t bytes);  // zeroed, aligned to 256; Error when there is not enough
  void (*release)(void* memory);
  void* (*allocate_pinned)(std::size_t bytes);  // host memory that copies on a stream need not wait for
  void (*release_pinned)(void* memory);
  std::size_t (*free_bytes)();  // what allocate could still give

  Stream (*create_stream)();
  void (*destroy_stream)(Stream stream);
  void (*synchronize)(Stream stream);  // until everything in the stream is done; reports what went wrong in kernels
  // Between host and device memory in any direction, in the order of the stream.
  void (*copy)(void* to, const void* from, std::size_t bytes, Stream stream);
  void (*clear)(void* memory, std::size_t bytes, Stream stream);  // zeros

  // Everything put on the stream from begin_recording to end_recording is recorded instead of run. No memory may be
  // allocated in between.
  void (*begin_recording)(Stream stream);
  RecordedGraph (*end_recording)(Stream stream);
  void (*replay)(RecordedGraph graph, Stream stream);
  void (*destroy_graph)(RecordedGraph graph);

  Event (*create_event)();
  void (*destroy_event)(Event event);
  void (*record)(Event event, Stream stream);
  void (*wait)(Event event);                    // until it has happened
  float (*milliseconds)(Event from, Event to);  // both have happened
};

namespace cpu {
const DeviceRuntime& runtime();  // the host's memory; no streams: everything is done when a call returns
}
namespace cuda {
const DeviceRuntime& runtime();
}
namespace emu {
const DeviceRuntime& runtime();
}

}  // namespace rook
