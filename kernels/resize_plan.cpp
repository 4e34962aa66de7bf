#include "kernels/resize_plan.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rook {

void check_resize(const Resize& args) {
  if (!args.pixels || args.width < 1 || args.height < 1 || args.channels < 1) {
    throw Error(fmt::format("resize: the photo is {}x{} with {} channels; it must have pixels", args.width, args.height,
                            args.channels));
  }
  const Tensor& y = args.y;
  if (!y || y.n != 1 || y.h < 1 || y.w < 1 || y.c != args.channels || y.pitch < y.c) {
    throw Error(fmt::format("resize: output [{},{},{},{}] must be one image with the photo's {} channels", y.n, y.h,
                            y.w, y.c, args.channels));
  }
}

}  // namespace rook
