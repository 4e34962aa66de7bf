// The CUDA runtime behind kernels/runtime.h.
#include "kernels/runtime.h"

#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kMinimumArchitecture = 80;  // bf16 tensor cores, cp.async

cudaStream_t stream_of(Stream stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
cudaGraphExec_t graph_of(RecordedGraph graph) {
  return static_cast<cudaGraphExec_t>(graph.handle);
}
cudaEvent_t event_of(Event event) {
  return static_cast<cudaEvent_t>(event.handle);
}

std::string unusable() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  int driver = 0;
  if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return "there is no NVIDIA driver";
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is older than the CUDA toolkit that rook was built with; update the driver";
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) return "there is no NVIDIA GPU";
  if (status != cudaSuccess) return fmt::format("the NVIDIA driver reports: {}", cudaGetErrorString(status));
  cudaDeviceProp properties{};
  if (const cudaError_t failed = cudaGetDeviceProperties(&properties, 0); failed != cudaSuccess)
    return fmt::format("the GPU does not say what it is: {}", cudaGetErrorString(failed));
  if (properties.major * 10 + properties.minor < kMinimumArchitecture)
    return fmt::format("{} has compute capability {}.{}; rook needs 8.0 or newer", properties.name, properties.major,
                       properties.minor);
  return {};
}

std::string describe() {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "asking for the device's name");
  int driver = 0, toolkit = 0;
  check_cuda(cudaDriverGetVersion(&driver), "asking for the driver's version");
  check_cuda(cudaRuntimeGetVersion(&toolkit), "asking for the runtime's version");
  return fmt::format("{} (sm_{}{}, {} SMs), CUDA {}.{}, driver for CUDA {}.{}", properties.name, properties.major,
                     properties.minor, properties.multiProcessorCount, toolkit / 1000, toolkit % 1000 / 10,
                     driver / 1000, driver % 1000 / 10);
}

std::size_t free_bytes() {
  std::size_t available = 0, total = 0;
  check_cuda(cudaMemGetInfo(&available, &total), "asking for free memory");
  return available;
}

void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, std::max<std::size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // the next call is not to blame
    throw Error(
        fmt::format("out of device memory: {:.1f} MB are not to be had, {:.1f} MB are free; take a smaller "
                    "batch or picture",
                    static_cast<double>(bytes) / 1e6, static_cast<double>(free_bytes()) / 1e6));
  }
  check_cuda(status, "allocating device memory");
  check_cuda(cudaMemset(memory, 0, bytes), "clearing device memory");
  // It is put on the NULL stream, for which the streams that work here do not wait: their first copy could come before.
  check_cuda(cudaStreamSynchronize(nullptr), "clearing device memory");
  return memory;
}

// Memory is given back in destructors, which must not throw; a failure here only repeats an error reported before.
void release(void* memory) {
  (void)cudaFree(memory);
}

void* allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, std::max<std::size_t>(bytes, 1)), "allocating pinned host memory");
  return memory;
}

void release_pinned(void* memory) {
  (void)cudaFreeHost(memory);
}

Stream create_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return {stream};
}

void destroy_stream(Stream stream) {
  (void)cudaStreamDestroy(stream_of(stream));
}

void synchronize(Stream stream) {
  check_cuda(cudaStreamSynchronize(stream_of(stream)), "running what was launched");
}

void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream)), "copying memory");
}

void clear(void* memory, std::size_t bytes, Stream stream) {
  check_cuda(cudaMemsetAsync(memory, 0, bytes, stream_of(stream)), "clearing memory");
}

void begin_recording(Stream stream) {
  check_cuda(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal), "beginning a graph");
}

RecordedGraph end_recording(Stream stream) {
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(stream_of(stream), &graph), "ending a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  (void)cudaGraphDestroy(graph);
  check_cuda(status, "making a graph ready");
  return {executable};
}

void replay(RecordedGraph graph, Stream stream) {
  check_cuda(cudaGraphLaunch(graph_of(graph), stream_of(stream)), "launching a graph");
}

void destroy_graph(RecordedGraph graph) {
  (void)cudaGraphExecDestroy(graph_of(graph));
}

Event create_event() {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreate(&event), "creating an event");
  return {event};
}

void destroy_event(Event event) {
  (void)cudaEventDestroy(event_of(event));
}

void record(Event event, Stream stream) {
  check_cuda(cudaEventRecord(event_of(event), stream_of(stream)), "recording an event");
}

void wait(Event event) {
  check_cuda(cudaEventSynchronize(event_of(event)), "waiting for an event");
}

float milliseconds(Event from, Event to) {
  float time = 0;
  check_cuda(cudaEventElapsedTime(&time, event_of(from), event_of(to)), "reading the time between events");
  return time;
}

}  // namespace

const DeviceRuntime& runtime() {
  static const DeviceRuntime table{.host_memory = false,
                                   .unusable = unusable,
                                   .describe = describe,
                                   .allocate = allocate,
                                   .release = release,
                                   .allocate_pinned = allocate_pinned,
                                   .release_pinned = release_pinned,
                                   .free_bytes = free_bytes,
                                   .create_stream = create_stream,
                                   .destroy_stream = destroy_stream,
                                   .synchronize = synchronize,
                                   .copy = copy,
                                   .clear = clear,
                                   .begin_recording = begin_recording,
                                   .end_recording = end_recording,
                                   .replay = replay,
                                   .destroy_graph = destroy_graph,
                                   .create_event = create_event,
                                   .destroy_event = destroy_event,
                                   .record = record,
                                   .wait = wait,
                                   .milliseconds = milliseconds};
  return table;
}

}  // namespace rook::ROOK_GPU
