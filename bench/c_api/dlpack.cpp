// Views of DLPack tensors.
#include <limits>

#include "bench/c_api/call.h"
#include "bench/c_api/dlpack_abi.h"

namespace rook::c_api {
namespace {

rook_dtype dtype_of(const rook_dl_tensor& t) {
  const auto is = [&](int code, int bits) { return t.dtype.code == code && t.dtype.bits == bits; };
  if (t.dtype.lanes == 1) {
    if (is(ROOK_DL_FLOAT, 32)) return ROOK_F32;
    if (is(ROOK_DL_BFLOAT, 16)) return ROOK_BF16;
    if (is(ROOK_DL_FLOAT, 16)) return ROOK_F16;
    if (is(ROOK_DL_FLOAT, 64)) return ROOK_F64;
    if (is(ROOK_DL_UINT, 8)) return ROOK_U8;
  }
  throw Error(fmt::format("DLPack tensor: code {}, {} bits, {} lanes is none of f32, bf16, f16, f64, u8", t.dtype.code,
                          t.dtype.bits, t.dtype.lanes));
}

rook_device device_of(const rook_dl_tensor& t) {
  switch (t.device.type) {
    case ROOK_DL_CPU:
    case ROOK_DL_CUDA_HOST:
      return ROOK_CPU;
    case ROOK_DL_CUDA:
    case ROOK_DL_CUDA_MANAGED:
      return ROOK_CUDA;
    default:
      throw Error(fmt::format("DLPack tensor: device type {} is neither the CPU nor CUDA", t.device.type));
  }
}

struct Axis {
  std::int64_t extent = 1, stride = 0;
};

// n, h, w, c of a tensor of up to four dimensions.
void read_axes(const rook_dl_tensor& t, rook_axes order, Axis (&axes)[4]) {
  if (t.ndim < 1 || t.ndim > 4 || !t.shape)
    throw Error(fmt::format("DLPack tensor: has {} dimensions; 1 to 4 are possible", t.ndim));
  if (order != ROOK_NHWC && order != ROOK_NCHW)
    throw Error(fmt::format("axes: {} is neither ROOK_NHWC nor ROOK_NCHW", order));
  if (order == ROOK_NCHW && t.ndim != 4)
    throw Error(fmt::format("DLPack tensor: NCHW needs 4 dimensions, this has {}", t.ndim));
  std::int64_t compact = 1;
  Axis given[4];
  for (int i = t.ndim - 1; i >= 0; --i) {
    given[4 - t.ndim + i] = {t.shape[i], t.strides ? t.strides[i] : compact};
    compact *= t.shape[i];
  }
  constexpr int kPlaces[2][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}};
  for (int i = 0; i < 4; ++i) axes[i] = given[kPlaces[order][i]];
  for (const Axis& axis : axes)
    if (axis.extent < 1 || axis.extent > std::numeric_limits<std::int32_t>::max())
      throw Error(fmt::format("DLPack tensor: an extent is {}", axis.extent));
}

void view(const rook_dl_tensor& t, rook_axes order, rook_tensor* tensor, rook_device* device) {
  required(tensor, "tensor");
  Axis axes[4];
  read_axes(t, order, axes);
  const auto& [n, h, w, c] = axes;
  // The stride of an axis with one element means nothing.
  const std::int64_t pitch = w.extent > 1   ? w.stride
                             : h.extent > 1 ? h.stride
                             : n.extent > 1 ? n.stride / h.extent
                                            : c.extent;
  const auto fits = [](const Axis& axis, std::int64_t stride) { return axis.extent == 1 || axis.stride == stride; };
  if (!fits(c, 1) || !fits(w, pitch) || !fits(h, w.extent * pitch) || !fits(n, h.extent * w.extent * pitch) ||
      pitch < c.extent)
    throw Error(
        fmt::format("DLPack tensor: strides {}, {}, {}, {} of n, h, w, c: the channels must lie next to each other and "
                    "pixels follow without gaps (PyTorch: channels_last)",
                    n.stride, h.stride, w.stride, c.stride));
  const auto at = [](const Axis& axis) { return static_cast<std::int32_t>(axis.extent); };
  if (device) *device = device_of(t);
  *tensor = {static_cast<char*>(t.data) + t.byte_offset, dtype_of(t), at(n), at(h), at(w), at(c), pitch};
}

}  // namespace
}  // namespace rook::c_api

rook_status rook_tensor_from_dlpack(const DLManagedTensor* managed, rook_axes axes, rook_tensor* tensor,
                                    rook_device* device) {
  return rook::c_api::guarded(
      [&] { rook::c_api::view(rook::c_api::required(managed, "DLPack tensor").dl_tensor, axes, tensor, device); });
}

rook_status rook_tensor_from_dlpack_versioned(const DLManagedTensorVersioned* managed, rook_axes axes,
                                              rook_tensor* tensor, rook_device* device) {
  return rook::c_api::guarded([&] {
    const auto& versioned = rook::c_api::required(managed, "DLPack tensor");
    if (versioned.version.major != ROOK_DL_MAJOR)
      throw rook::Error(fmt::format("DLPack tensor: version {}.{}; rook knows {}.x", versioned.version.major,
                                    versioned.version.minor, static_cast<int>(ROOK_DL_MAJOR)));
    rook::c_api::view(versioned.dl_tensor, axes, tensor, device);
  });
}
