// dst (=|+=) src between tensors of any pitch: routes and their gradients.
#include <cstring>
#include <type_traits>

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

template <class Src, class Dst>
void copy(const CopyChannels& args) {
  const RowPlan plan = plan_elements({&args.src, &args.dst});
  const bool accumulate = args.mode == Grad::accumulate;
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const Src* src = args.src.as<Src>() + row * plan.pitch(args.src);
    Dst* dst = args.dst.as<Dst>() + row * plan.pitch(args.dst);
    if constexpr (std::is_same_v<Src, Dst>) {
      if (!accumulate) {
        std::memmove(dst, src, static_cast<std::size_t>(width) * sizeof(Dst));
        return;
      }
    }
    map_gradient(
        accumulate, width, [](Vec value) { return value; }, dst, src);
  });
}

}  // namespace

void copy_channels(const CopyChannels& args, Stream) {
  if (args.mode == Grad::none) return;
  check_args(args);
  with_f32_or_bf16("copy_channels", args.src.dtype, args.dst.dtype,
                   [&](auto src, auto dst) { copy<typename decltype(src)::Type, typename decltype(dst)::Type>(args); });
}

}  // namespace rook::cpu
