// Errors, streams, events and graphs.
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <fmt/core.h>

#include "kernels/emu/launch.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/running.h"
#include "kernels/emu/runtime.h"
#include "kernels/emu/runtime_state.h"
#include "kernels/emu/symbols.h"

namespace rook::emu {
namespace machine {
bool is_capturing(cudaStream_t stream);
}
namespace {

thread_local cudaError_t last_error = cudaSuccess;
std::atomic<int> global_captures{0};      // in the mode that forbids unrelated calls everywhere
thread_local int captures_of_thread = 0;  // in the mode that forbids them on this OS thread

// Dynamic shared memory that kernels were allowed.
struct Allowances {
  std::mutex mutex;
  std::unordered_map<const void*, std::size_t> bytes;
};
Allowances& allowances() {
  static auto* const all = new Allowances;
  return *all;
}

// Work of the NULL stream, shared by all OS threads. What rook's own streams do is not ordered with it, and a GPU may
// come to it late: so does the emulator.
class NullStream {
 public:
  void push(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  void finish() {
    const std::lock_guard one_at_a_time(running_);
    CapturedWork work;
    {
      const std::lock_guard lock(mutex_);
      work.swap(waiting_);
    }
    for (const std::function<void()>& item : work) item();
  }

 private:
  std::mutex mutex_, running_;
  CapturedWork waiting_;
};
NullStream& null_stream() {
  static auto* const stream = new NullStream;
  return *stream;
}

cudaError_t finish(cudaStream_t stream) {
  const bool forbidden = stream == nullptr ? machine::forbids_unrelated_calls() : machine::is_capturing(stream);
  if (forbidden) return machine::report(cudaErrorStreamCaptureUnsupported);
  machine::finish_null_stream();  // for another stream: by now it may well have run
  return cudaSuccess;
}

// Nothing that belongs to it is captured any more.
void end(Capture& capture) {
  if (!std::exchange(capture.is_active, false)) return;
  if (capture.mode == cudaStreamCaptureModeGlobal) --global_captures;
  if (capture.mode == cudaStreamCaptureModeThreadLocal) --captures_of_thread;
}

}  // namespace

namespace machine {

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool forbids_unrelated_calls() {
  return global_captures > 0 || captures_of_thread > 0;
}

bool is_capturing(cudaStream_t stream) {
  return stream != nullptr && stream->capture != nullptr && stream->capture->is_active;
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (running != nullptr) throw Error("emulator: a kernel cannot launch another one");
  if (is_capturing(stream)) return stream->capture->work.push_back(std::move(work));
  if (stream == nullptr) return null_stream().push(std::move(work));
  if (stream->waits_for_null) finish_null_stream();
  work();
}

void finish_null_stream() {
  null_stream().finish();
}

void check_dynamic_shared(const void* kernel, std::size_t bytes) {
  if (bytes < kAskedShared) return;
  const std::lock_guard lock(allowances().mutex);
  const auto found = allowances().bytes.find(kernel);
  if (found == allowances().bytes.end() || found->second < bytes)
    throw Error(fmt::format(
        "emulator: kernel {}: {} bytes of dynamic shared memory; from {} on, which with the static memory may "
        "be more than a block has, ask with cudaFuncAttributeMaxDynamicSharedMemorySize",
        kernel_name(kernel), bytes, kAskedShared));
}

}  // namespace machine

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
  }
  return "unknown error";
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorIllegalState:
      return "the operation cannot be performed in the present state";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
  }
  return "unrecognized error code";
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > machine::kMaxShared)
    return machine::report(cudaErrorInvalidValue);
  const std::lock_guard lock(allowances().mutex);
  allowances().bytes[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return finish(nullptr);
}
cudaError_t cudaDeviceReset() {
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new EmulatedStream{.waits_for_null = flags != cudaStreamNonBlocking};
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return machine::report(cudaErrorInvalidResourceHandle);
  if (stream->is_origin) end(*stream->capture);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return finish(stream);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return cudaStreamSynchronize(stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event == nullptr) return machine::report(cudaErrorInvalidResourceHandle);
  if (event->is_pending && stream != nullptr) machine::finish_null_stream();
  if (event->capture == nullptr || !event->capture->is_active) return cudaSuccess;
  if (stream == nullptr) return machine::report(cudaErrorStreamCaptureUnsupported);
  if (machine::is_capturing(stream) && stream->capture != event->capture)
    return machine::report(cudaErrorStreamCaptureInvalidated);
  stream->capture = event->capture;
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  machine::enqueue(stream, [=] { function(argument); });
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return machine::report(cudaErrorInvalidResourceHandle);
  if (event->is_pending) machine::finish_null_stream();
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr) return machine::report(cudaErrorInvalidResourceHandle);
  event->capture = machine::is_capturing(stream) ? stream->capture : nullptr;
  if (event->capture != nullptr) return cudaSuccess;
  event->is_pending = true;
  machine::enqueue(stream, [event] {
    event->time = std::chrono::steady_clock::now();
    event->is_recorded = true;
    event->is_pending = false;
  });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return machine::report(cudaErrorInvalidResourceHandle);
  machine::finish_null_stream();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (begin == nullptr || end == nullptr || !begin->is_recorded || !end->is_recorded)
    return machine::report(cudaErrorInvalidResourceHandle);
  if (begin->is_pending || end->is_pending) return machine::report(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream == nullptr) return machine::report(cudaErrorStreamCaptureUnsupported);
  if (machine::is_capturing(stream)) return machine::report(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->mode = mode;
  stream->is_origin = true;
  if (mode == cudaStreamCaptureModeGlobal) ++global_captures;
  if (mode == cudaStreamCaptureModeThreadLocal) ++captures_of_thread;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!machine::is_capturing(stream) || !stream->is_origin) return machine::report(cudaErrorIllegalState);
  *graph = new EmulatedGraph{std::move(stream->capture->work)};
  end(*stream->capture);
  stream->capture.reset();
  stream->is_origin = false;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = machine::is_capturing(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (graph == nullptr) return machine::report(cudaErrorInvalidValue);
  *exec = new EmulatedGraphExec{std::make_shared<const CapturedWork>(graph->work)};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return exec != nullptr ? cudaSuccess : machine::report(cudaErrorInvalidValue);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (exec == nullptr) return machine::report(cudaErrorInvalidValue);
  if (machine::is_capturing(stream)) return machine::report(cudaErrorStreamCaptureUnsupported);
  machine::enqueue(stream, [work = exec->work] {
    for (const std::function<void()>& item : *work) item();
  });
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void* nodes, std::size_t* count) {
  if (graph == nullptr || nodes != nullptr) return machine::report(cudaErrorInvalidValue);
  *count = graph->work.size();
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

}  // namespace rook::emu
