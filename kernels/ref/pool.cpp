// Maximum and mean over windows, and mean over the image, one output at a time.
#include <cmath>
#include <vector>

#include "kernels/ref/element.h"
#include "kernels/spatial.h"

namespace rook::ref {
namespace {

// Calls visit(tap, y, x) for the taps of window (oy, ox) that lie inside the image, in order.
template <class Visit>
void for_each_tap(const PoolGeometry& g, const Tensor& image, int oy, int ox, Visit visit) {
  for (int r = 0; r < g.size_h; ++r)
    for (int s = 0; s < g.size_w; ++s) {
      const int y = oy * g.stride_h - pool_offset(g) + r;
      const int x = ox * g.stride_w - pool_offset(g) + s;
      if (y >= 0 && y < image.h && x >= 0 && x < image.w) visit(r * g.size_w + s, y, x);
    }
}

// A gradient that many windows add to, in double; written to the tensor once it is complete.
class GradientSum {
 public:
  explicit GradientSum(const Tensor& dx) : dx_(dx), sum_(static_cast<std::size_t>(dx.elements())) {}

  void add(int n, int y, int x, int c, double value) { sum_[index(n, y, x, c)] += value; }
  void write(Grad mode) const {
    const Elements out(dx_);
    for_each_element(dx_, [&](int n, int y, int x, int c) { out.put(n, y, x, c, sum_[index(n, y, x, c)], mode); });
  }

 private:
  std::size_t index(int n, int y, int x, int c) const {
    return static_cast<std::size_t>(((std::int64_t{n} * dx_.h + y) * dx_.w + x) * dx_.c + c);
  }

  Tensor dx_;
  std::vector<double> sum_;
};

}  // namespace

// y = max over the window; the first of equal taps wins, and the first NaN wins over all numbers, so that it stays
// visible.
void maxpool_forward(const MaxPoolForward& args, Stream) {
  check_args(args);
  const Elements in(args.x), out(args.y);
  std::int64_t i = 0;  // of taps: dense, in the same order as the elements of y
  for_each_element(args.y, [&](int n, int oy, int ox, int c) {
    double best = 0;
    int chosen = -1;
    for_each_tap(args.geometry, args.x, oy, ox, [&](int tap, int y, int x) {
      const double value = in.get(n, y, x, c);
      if (chosen < 0 || value > best || (std::isnan(value) && !std::isnan(best))) {
        best = value;
        chosen = tap;
      }
    });
    out.put(n, oy, ox, c, best);
    if (args.taps != nullptr) args.taps[i] = static_cast<std::uint16_t>(chosen);
    ++i;
  });
}

void maxpool_backward(const MaxPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements dy(args.dy);
  GradientSum dx(args.dx);
  std::int64_t i = 0;
  for_each_element(args.dy, [&](int n, int oy, int ox, int c) {
    for_each_tap(args.geometry, args.dx, oy, ox, [&](int tap, int y, int x) {
      if (tap == args.taps[i]) dx.add(n, y, x, c, dy.get(n, oy, ox, c));
    });
    ++i;
  });
  dx.write(args.mode);
}

void local_avgpool_forward(const LocalAvgPoolForward& args, Stream) {
  check_args(args);
  const Elements in(args.x), out(args.y);
  for_each_element(args.y, [&](int n, int oy, int ox, int c) {
    double sum = 0;
    int count = 0;
    for_each_tap(args.geometry, args.x, oy, ox, [&](int, int y, int x) {
      sum += in.get(n, y, x, c);
      ++count;
    });
    out.put(n, oy, ox, c, sum / count);
  });
}

void local_avgpool_backward(const LocalAvgPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements dy(args.dy);
  GradientSum dx(args.dx);
  for_each_element(args.dy, [&](int n, int oy, int ox, int c) {
    int count = 0;
    for_each_tap(args.geometry, args.dx, oy, ox, [&](int, int, int) { ++count; });
    const double share = dy.get(n, oy, ox, c) / count;
    for_each_tap(args.geometry, args.dx, oy, ox, [&](int, int y, int x) { dx.add(n, y, x, c, share); });
  });
  dx.write(args.mode);
}

void avgpool_forward(const AvgPoolForward& args, Stream) {
  check_args(args);
  const Elements in(args.x), out(args.y);
  for_each_element(args.y, [&](int n, int, int, int c) {
    double sum = 0;
    for (int y = 0; y < args.x.h; ++y)
      for (int x = 0; x < args.x.w; ++x) sum += in.get(n, y, x, c);
    out.put(n, 0, 0, c, sum / (double{1} * args.x.h * args.x.w));
  });
}

void avgpool_backward(const AvgPoolBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Elements dy(args.dy), dx(args.dx);
  const double pixels = double{1} * args.dx.h * args.dx.w;
  for_each_element(args.dx,
                   [&](int n, int y, int x, int c) { dx.put(n, y, x, c, dy.get(n, 0, 0, c) / pixels, args.mode); });
}

}  // namespace rook::ref
