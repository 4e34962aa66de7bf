#include "kernels/cublas/library.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/shared_library.h"

namespace rook::cuda {
namespace {

CublasLt load() {
  static SharedLibrary library({ROOK_CUBLASLT_NAME, ROOK_CUBLASLT_FOLDER "/" ROOK_CUBLASLT_NAME});
  CublasLt c;
  library.find(&c.get_version, "cublasLtGetVersion");
  library.find(&c.status_string, "cublasLtGetStatusString");
  library.find(&c.create, "cublasLtCreate");
  library.find(&c.matmul, "cublasLtMatmul");
  library.find(&c.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.find(&c.create_product, "cublasLtMatmulDescCreate");
  library.find(&c.destroy_product, "cublasLtMatmulDescDestroy");
  library.find(&c.set_product, "cublasLtMatmulDescSetAttribute");
  library.find(&c.create_layout, "cublasLtMatrixLayoutCreate");
  library.find(&c.destroy_layout, "cublasLtMatrixLayoutDestroy");
  library.find(&c.create_preference, "cublasLtMatmulPreferenceCreate");
  library.find(&c.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  library.find(&c.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  if (!library.fault().empty()) c.fault = "cuBLASLt: " + library.fault();
  return c;
}

}  // namespace

const CublasLt& cublas_lt() {
  // Never destroyed, and neither is what uses it: at the end of the process cuBLAS, which is loaded later than this is
  // made, takes itself down first, and would be called afterwards.
  static const auto& library = *new CublasLt(load());
  return library;
}

void check_cublas(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(fmt::format("cuBLASLt: {} failed: {}", what, cublas_lt().status_string(status)));
}

}  // namespace rook::cuda
