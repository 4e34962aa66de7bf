#include "kernels/cudnn/library.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/shared_library.h"

namespace rook::cuda {
namespace {

Cudnn load() {
  static SharedLibrary library({"libcudnn.so.9", ROOK_CUDNN_FOLDER "/libcudnn.so.9"});
  Cudnn c;
  library.find(&c.get_version, "cudnnGetVersion");
  library.find(&c.error_string, "cudnnGetErrorString");
  library.find(&c.last_error_string, "cudnnGetLastErrorString");
  library.find(&c.create, "cudnnCreate");
  library.find(&c.set_stream, "cudnnSetStream");
  library.find(&c.create_descriptor, "cudnnBackendCreateDescriptor");
  library.find(&c.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  library.find(&c.set_attribute, "cudnnBackendSetAttribute");
  library.find(&c.get_attribute, "cudnnBackendGetAttribute");
  library.find(&c.finalize, "cudnnBackendFinalize");
  library.find(&c.execute, "cudnnBackendExecute");
  if (!library.fault().empty()) c.fault = "cuDNN: " + library.fault();
  return c;
}

}  // namespace

const Cudnn& cudnn() {
  // Never destroyed, and neither is what uses it: at the end of the process cuDNN, which is loaded later than this is
  // made, takes itself down first, and would be called afterwards.
  static const auto& library = *new Cudnn(load());
  return library;
}

void check_cudnn(cudnnStatus_t status, const std::string& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char reason[512] = "";
  cudnn().last_error_string(reason, sizeof reason);
  throw Error(fmt::format("cuDNN: {} failed: {}{}{}", what, cudnn().error_string(status), *reason ? ", " : "", reason));
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  if (!cudnn().fault.empty()) throw Error(cudnn().fault);
  check_cudnn(cudnn().create_descriptor(type, &descriptor_),
              fmt::format("creating a descriptor of type {}", static_cast<int>(type)));
}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_) (void)cudnn().destroy_descriptor(descriptor_);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                          const void* values) {
  check_cudnn(cudnn().set_attribute(descriptor_, name, type, count, values),
              fmt::format("setting attribute {}", static_cast<int>(name)));
}

std::int64_t CudnnDescriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                                  void* values) const {
  std::int64_t count = 0;
  check_cudnn(cudnn().get_attribute(descriptor_, name, type, most, &count, values),
              fmt::format("reading attribute {}", static_cast<int>(name)));
  return count;
}

void CudnnDescriptor::finalize() {
  check_cudnn(cudnn().finalize(descriptor_), "finalising a descriptor");
}

}  // namespace rook::cuda
