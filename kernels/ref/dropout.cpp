// Inverted dropout. Element e counts in the dense order (n, h, w, c), whatever the pitch; its number is word e mod 4 of
// the Philox block with slot = low 32 bits of e / 4, draw = high 32 bits of e / 4, iteration, stream = (dropout,
// layer).
#include "kernels/philox.h"
#include "kernels/ref/element.h"
#include "kernels/spatial.h"
#include "kernels/step.h"

namespace rook::ref {

void dropout(const Dropout& given, Stream) {
  const Dropout args = with_step(given);
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements in(args.x), out(args.y);
  std::uint64_t e = 0;
  for_each_element(args.x, [&](int n, int y, int x, int c) {
    const PhiloxBlock block =
        philox(philox_key(args.seed), {static_cast<std::uint32_t>(e / 4), static_cast<std::uint32_t>(e / 4 >> 32),
                                       args.iteration, philox_stream(PhiloxUse::dropout, args.layer)});
    const std::uint32_t words[4] = {block.x, block.y, block.z, block.w};
    const bool keep = philox_uniform(words[e % 4]) >= args.probability;
    out.put(n, y, x, c, keep ? in.get(n, y, x, c) / (1 - double{args.probability}) : 0, args.mode);
    ++e;
  });
}

}  // namespace rook::ref
