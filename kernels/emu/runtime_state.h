// What the runtime's handles stand for.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/emu/runtime.h"

namespace rook::emu {

// Work in the order in which it was captured, which is an order that its dependencies allow.
using CapturedWork = std::vector<std::function<void()>>;

struct Capture {
  CapturedWork work;
  bool is_active = true;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
};

struct EmulatedStream {
  std::shared_ptr<Capture> capture;  // that it is, or was, part of
  bool is_origin = false;            // that the capture begins and ends with
  bool waits_for_null = true;        // its work begins after that of the NULL stream: not cudaStreamNonBlocking
};

struct EmulatedEvent {
  std::chrono::steady_clock::time_point time;
  bool is_recorded = false;
  bool is_pending = false;           // on the NULL stream, which has not come to it
  std::shared_ptr<Capture> capture;  // when last recorded in a capture
};

struct EmulatedGraph {
  CapturedWork work;
};

struct EmulatedGraphExec {
  std::shared_ptr<const CapturedWork> work;  // may be on a stream when this is destroyed
};

namespace machine {

// Remembers an error for cudaGetLastError and returns it.
cudaError_t report(cudaError_t error);

// Whether a stream is being captured in a mode in which this OS thread may not allocate or wait.
bool forbids_unrelated_calls();

// Does what waits on the NULL stream. Throws what the work throws; the rest is then forgotten.
void finish_null_stream();

}  // namespace machine
}  // namespace rook::emu
