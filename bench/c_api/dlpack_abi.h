/* The layout of DLPack's structs (https://dmlc.github.io/dlpack/latest/c_api.html, versions 0.x and 1.x), which is a
 * stable binary interface. Debian 12's libdlpack-dev is 0.6 and lacks the versioned one. */
#ifndef ROOK_DLPACK_ABI_H
#define ROOK_DLPACK_ABI_H

#include <stdint.h> /* NOLINT(modernize-deprecated-headers): C reads this, too */

enum { ROOK_DL_CPU = 1, ROOK_DL_CUDA = 2, ROOK_DL_CUDA_HOST = 3, ROOK_DL_CUDA_MANAGED = 13 };
enum { ROOK_DL_INT = 0, ROOK_DL_UINT = 1, ROOK_DL_FLOAT = 2, ROOK_DL_BFLOAT = 4 };
enum { ROOK_DL_MAJOR = 1 }; /* of the versions that this layout is of */

typedef struct rook_dl_tensor {
  void* data;
  struct {
    int32_t type;
    int32_t id;
  } device;
  int32_t ndim;
  struct {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
  } dtype;
  int64_t* shape;
  int64_t* strides; /* in elements, or null: compact, the last extent fastest */
  uint64_t byte_offset;
} rook_dl_tensor;

struct DLManagedTensor {
  rook_dl_tensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensor* self);
};

struct DLManagedTensorVersioned {
  struct {
    uint32_t major;
    uint32_t minor;
  } version;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensorVersioned* self);
  uint64_t flags;
  rook_dl_tensor dl_tensor;
};

#endif
