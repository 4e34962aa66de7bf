// [sam], spatial attention as darknet has it: the product of two tensors, element by element.
#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

template <class T>
void forward(const SamForward& args) {
  const RowPlan plan = plan_elements({&args.a, &args.b, &args.y});
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const T* a = args.a.as<T>() + row * plan.pitch(args.a);
    const T* b = args.b.as<T>() + row * plan.pitch(args.b);
    map(width, kMultiply, args.y.as<T>() + row * plan.pitch(args.y), a, b);
  });
}

// dinput (=|+=) dy * other.
template <class T>
void backward(const Tensor& dy, const Tensor& other, const Tensor& dinput, Grad mode) {
  if (mode == Grad::none) return;
  const RowPlan plan = plan_elements({&dy, &other, &dinput});
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const T* gradient = dy.as<T>() + row * plan.pitch(dy);
    const T* factor = other.as<T>() + row * plan.pitch(other);
    map_gradient(mode == Grad::accumulate, width, kMultiply, dinput.as<T>() + row * plan.pitch(dinput), gradient,
                 factor);
  });
}

}  // namespace

void sam_forward(const SamForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("sam_forward", args.a.dtype, [&](auto storage) { forward<typename decltype(storage)::Type>(args); });
}

void sam_backward(const SamBackward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("sam_backward", args.a.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    backward<T>(args.dy, args.b, args.da, args.da_mode);
    backward<T>(args.dy, args.a, args.db, args.db_mode);
  });
}

}  // namespace rook::cpu
