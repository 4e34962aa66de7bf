/* What tests/c_api/c_ops.c does in C, for the test program. Each returns what is wrong, or null. */
#ifndef ROOK_TESTS_C_OPS_H
#define ROOK_TESTS_C_OPS_H

#include "bench/c_api/rook.h"

#ifdef __cplusplus
extern "C" {
#endif

const char* c_maxpool(rook_device device);
const char* c_batchnorm(rook_device device);
const char* c_conv(rook_device device, const char* row, rook_conv_direction direction);
const char* c_shortcut(rook_device device);
const char* c_sgd(rook_device device);
const char* c_detect(rook_device device);
const char* c_dlpack(void);

#ifdef __cplusplus
}
#endif

#endif
