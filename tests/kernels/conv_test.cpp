// Convolution: every row of the table against the reference loops, those by hand and against finite differences.
#include "kernels/conv.h"

#include "base/error.h"
#include "tests/support.h"

using namespace rook;
using namespace rook::test;

namespace {

struct ConvCase {
  const char* name;
  int n, h, w;
  ConvGeometry geometry;
};

constexpr ConvGeometry square(int c, int k, int size, int stride = 1, int pad = 0, int dilation = 1, int groups = 1) {
  return {.c = c,
          .k = k,
          .r = size,
          .s = size,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = pad,
          .pad_w = pad,
          .dilation = dilation,
          .groups = groups};
}

constexpr ConvGeometry with_strides(ConvGeometry geometry, int stride_h, int stride_w) {
  geometry.stride_h = stride_h;
  geometry.stride_w = stride_w;
  return geometry;
}

constexpr ConvCase kCases[] = {
    {"one value", 1, 1, 1, square(1, 1, 1)},
    {"a vector", 3, 1, 1, square(37, 19, 1)},
    {"first layer", 2, 13, 17, square(3, 16, 3, 2, 1)},
    {"grey picture", 1, 11, 7, square(1, 5, 5, 1, 2)},
    {"pointwise", 2, 7, 5, square(24, 40, 1)},
    {"pointwise, odd channels", 1, 13, 11, square(37, 75, 1)},
    {"pointwise, stride", 1, 9, 7, square(11, 13, 1, 2)},
    {"plain 3x3", 2, 7, 11, square(16, 32, 3, 1, 1)},
    {"prime 3x3", 3, 7, 5, square(13, 17, 3, 1, 1)},
    {"no padding", 1, 8, 6, square(7, 9, 3)},
    {"filter as large as the picture", 1, 5, 3, {.c = 6, .k = 4, .r = 5, .s = 3}},
    {"even filter", 1, 9, 8, square(5, 6, 2, 2, 1)},
    {"flat filter", 2, 6, 9, {.c = 8, .k = 3, .r = 1, .s = 5, .pad_w = 2}},
    {"much padding", 1, 4, 3, {.c = 3, .k = 4, .r = 3, .s = 3, .pad_h = 3, .pad_w = 2}},
    {"strides differ", 1, 11, 13, with_strides(square(8, 8, 3, 1, 1), 2, 1)},
    {"stride 3", 1, 13, 13, square(5, 11, 3, 3, 1)},
    {"stride beyond filter", 1, 11, 9, with_strides(square(4, 6, 2), 3, 4)},
    {"dilation", 2, 11, 9, square(8, 7, 3, 1, 1, 2)},
    {"dilation 4", 1, 13, 17, square(3, 5, 3, 1, 1, 4)},
    {"dilation beyond the picture", 1, 4, 5, square(3, 5, 3, 1, 1, 6)},
    {"dilation and stride", 1, 11, 13, with_strides(square(6, 8, 3, 1, 1, 2), 2, 3)},
    {"dilation, no padding", 1, 9, 9, square(4, 4, 3, 1, 0, 2)},
    {"two groups", 2, 7, 5, square(16, 8, 3, 1, 1, 1, 2)},
    {"five odd groups", 1, 5, 7, square(15, 35, 3, 1, 1, 1, 5)},
    {"pointwise groups", 1, 6, 5, square(12, 18, 1, 1, 0, 1, 3)},
    {"depthwise", 2, 9, 7, square(16, 16, 3, 1, 1, 1, 16)},
    {"depthwise, odd, stride", 1, 11, 13, square(21, 21, 5, 2, 2, 1, 21)},
    {"depthwise, twice the filters", 1, 7, 7, square(9, 18, 3, 1, 1, 1, 9)},
    {"depthwise, dilation", 1, 9, 11, square(8, 8, 3, 1, 1, 2, 8)},
};

struct Types {
  DType x, y;
};
constexpr Types kTypes[] = {{DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}};
constexpr ConvDirection kDirections[] = {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad};

// Bytes aligned as the engine's are, full of NaN, with guards around them.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) : size_(size), storage_(size + 3 * kMargin, kGuard) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data()) + kMargin;
    data_ = storage_.data() + kMargin + (kMargin - address % kMargin) % kMargin;
    std::memset(data_, 0xff, size);
  }
  std::byte* data() { return data_; }
  bool intact() const {
    const auto guard = [](std::byte b) { return b == kGuard; };
    return std::all_of(storage_.data(), static_cast<const std::byte*>(data_), guard) &&
           std::all_of(static_cast<const std::byte*>(data_) + size_, storage_.data() + storage_.size(), guard);
  }

 private:
  static constexpr std::size_t kMargin = 64;
  static constexpr std::byte kGuard{0x5a};
  std::size_t size_;
  std::vector<std::byte> storage_;
  std::byte* data_;
};

// A problem with its data; weights are rounded through the type they are packed in.
struct Setup {
  Setup(const ConvProblem& p, Random& random)
      : problem(p),
        x(p.x, p.n, p.h, p.w, p.geometry.c),
        y(p.y, p.n, p.p(), p.q(), p.geometry.k),
        weights(p.geometry.weights()),
        bias(p.geometry.k),
        dweights(p.geometry.weights()),
        dbias(p.geometry.k) {
    if (p.direction != ConvDirection::dgrad) x.fill_uniform(random, -1, 1);
    if (p.direction != ConvDirection::fprop) y.fill_uniform(random, -1, 1);
    weights.fill_uniform(random, -1, 1);
    if (p.x == DType::bf16)
      for (float& w : weights.span()) w = bf16_to_float(float_to_bf16(w));
    bias.fill_uniform(random, -1, 1);
    dweights.fill_uniform(random, -1, 1);
    dbias.fill_uniform(random, -1, 1);
  }

  void run(const ConvRow& row, Grad mode = Grad::overwrite) {
    const bool wgrad = problem.direction == ConvDirection::wgrad;
    GuardedBytes packed(wgrad ? 0 : row.packed_bytes(problem)), workspace(row.workspace(problem));
    if (!wgrad) row.pack(problem, weights.data(), packed.data(), {});
    row.run(problem,
            {.x = x,
             .y = y,
             .weights = wgrad ? nullptr : packed.data(),
             .bias = problem.bias ? bias.data() : nullptr,
             .dweights = wgrad ? dweights.data() : nullptr,
             .dbias = wgrad && problem.bias ? dbias.data() : nullptr,
             .mode = mode,
             .workspace = workspace.data()},
            {});
    CHECK_MESSAGE(packed.intact(), "written outside of the packed weights");
    CHECK_MESSAGE(workspace.intact(), "written outside of the workspace");
  }

  // The same with activations in double, for the reference.
  Setup in_double() const {
    Setup copy = *this;
    copy.problem.x = copy.problem.y = DType::f64;
    copy.x = x.converted(DType::f64);
    copy.y = y.converted(DType::f64);
    return copy;
  }

  ConvProblem problem;
  TestTensor x, y;
  TestArray<float> weights, bias, dweights, dbias;
};

double largest(const TestTensor& t) {
  double most = 0;
  for (const double v : t.to_doubles()) most = std::max(most, std::abs(v));
  return most;
}

// Sums of `terms` products of numbers up to 1 in f32, then rounded to storage.
Tolerance tolerance_for(DType storage, std::int64_t terms, double size) {
  const double sum = 2e-7 * std::sqrt(static_cast<double>(terms)) * std::max(1.0, size);
  return storage == DType::bf16 ? Tolerance{sum, 1.0 / 256} : Tolerance{sum, 2e-6};
}

const ConvRow& ref_row() {
  return ref::conv_rows()[0];
}

// Compares one row with the reference in double; returns whether it took the problem.
bool check_row(const ConvRow& row, const ConvProblem& problem, Grad mode, Random& random) {
  if (!row.supports(problem)) return false;
  Setup ours(problem, random);
  if (problem.direction == ConvDirection::dgrad && mode == Grad::accumulate) ours.x.fill_uniform(random, -1, 1);
  Setup truth = ours.in_double(), again = ours;
  if (problem.direction == ConvDirection::fprop) again.y.poison(Poison::huge);
  if (problem.direction == ConvDirection::dgrad && mode == Grad::overwrite) again.x.poison(Poison::huge);
  const bool adds = mode == Grad::accumulate;
  Setup alone = truth;  // what is added, for the size of its rounding
  if (adds) alone.x.fill(0);
  truth.run(ref_row(), mode);
  if (adds && problem.direction == ConvDirection::dgrad) alone.run(ref_row(), mode);
  ours.run(row, mode);
  again.run(row, mode);
  const ConvGeometry& g = problem.geometry;
  const std::int64_t taps = std::int64_t{g.r} * g.s;
  switch (problem.direction) {
    case ConvDirection::fprop:
      check_close("y", ours.y, truth.y, tolerance_for(problem.y, taps * g.c / g.groups, largest(truth.y)));
      CHECK_MESSAGE(same_bits(ours.y, again.y), "two runs differ");
      break;
    case ConvDirection::dgrad: {
      Tolerance tolerance = tolerance_for(problem.x, taps * g.k / g.groups, largest(truth.x));
      if (adds && problem.x == DType::bf16) tolerance.absolute += largest(alone.x) / 256;  // rounded before it is added
      check_close("dx", ours.x, truth.x, tolerance);
      CHECK_MESSAGE(same_bits(ours.x, again.x), "two runs differ");
      break;
    }
    case ConvDirection::wgrad: {
      const Tolerance tolerance{4e-7 * std::sqrt(static_cast<double>(problem.n) * problem.p() * problem.q()) * 4, 4e-6};
      check_close("dweights", ours.dweights, truth.dweights, tolerance);
      check_close("dbias", ours.dbias, truth.dbias, tolerance);
      CHECK_MESSAGE((same_bits(ours.dweights, again.dweights) && same_bits(ours.dbias, again.dbias)),
                    "two runs differ");
    }
  }
  CHECK((ours.weights.guards_intact() && ours.bias.guards_intact()));
  return true;
}

std::string describe(const ConvProblem& p) {
  return fmt::format("{} x {} y {} bias {} {}", name_of(p.direction), name_of(p.x), name_of(p.y), p.bias,
                     name_of(p.activation));
}

TestTensor counting(int h, int w, int c) {
  TestTensor x(DType::f64, 1, h, w, c);
  for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, static_cast<double>(i + 1));
  return x;
}

// The reference on one image with given weights.
std::vector<double> fprop_of(const TestTensor& x, const ConvGeometry& geometry, const std::vector<float>& weights,
                             const float* bias = nullptr) {
  const ConvProblem problem{.geometry = geometry,
                            .n = 1,
                            .h = x.view().h,
                            .w = x.view().w,
                            .x = DType::f64,
                            .y = DType::f64,
                            .bias = bias != nullptr};
  TestTensor y(DType::f64, 1, problem.p(), problem.q(), geometry.k);
  ref_row().run(problem, {.x = x, .y = y, .weights = weights.data(), .bias = bias}, {});
  CHECK(y.guards_intact());
  return y.to_doubles();
}

}  // namespace

TEST_CASE("conv: every row agrees with the reference in all directions") {
  Random random(1);
  int of_onednn = 0;
  for (const ConvCase& k : kCases) {
    CAPTURE(k.name);
    for (const Types types : kTypes)
      for (const ConvDirection direction : kDirections)
        for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
          const bool dgrad = direction == ConvDirection::dgrad;
          // Mixed types are those of logits: no gradient is kept so.
          if (types.x != types.y && (direction != ConvDirection::fprop || !second)) continue;
          const ConvProblem problem{.direction = direction,
                                    .geometry = k.geometry,
                                    .n = k.n,
                                    .h = k.h,
                                    .w = k.w,
                                    .x = types.x,
                                    .y = types.y,
                                    .bias = second && !dgrad};
          INFO(describe(problem));
          REQUIRE((problem.p() > 0 && problem.q() > 0));
          int rows = 0;
          for (const ConvRow& row : cpu::conv_rows()) {
            CAPTURE(row.name);
            const bool ran = check_row(row, problem, dgrad && second ? Grad::accumulate : Grad::overwrite, random);
            rows += ran;
            of_onednn += ran && row.name == "onednn";
          }
          CHECK(rows > 0);
        }
  }
  // Were oneDNN to refuse everything, the reference would have been compared with itself.
  CHECK(of_onednn > static_cast<int>(std::size(kCases)) * 8);
}

TEST_CASE("conv: fused activations") {
  Random random(2);
  constexpr ConvGeometry kGeometries[] = {square(13, 21, 3, 1, 1), square(16, 32, 1), square(16, 16, 3, 1, 1, 1, 16)};
  int fused = 0;
  for (int a = static_cast<int>(Activation::linear); a <= static_cast<int>(Activation::ramp); ++a)
    for (const ConvGeometry& geometry : kGeometries)
      for (const Types types : kTypes) {
        const ConvProblem problem{.geometry = geometry,
                                  .n = 2,
                                  .h = 7,
                                  .w = 5,
                                  .x = types.x,
                                  .y = types.y,
                                  .bias = true,
                                  .activation = static_cast<Activation>(a)};
        INFO(describe(problem));
        for (const ConvRow& row : cpu::conv_rows()) {
          CAPTURE(row.name);
          fused += check_row(row, problem, Grad::overwrite, random) && row.name == "onednn" && a > 0;
        }
      }
  CHECK(fused >= 7 * 2 * 3);
}

TEST_CASE("conv: the reference by hand") {
  // 1..9 in a square with the filter 1..9: the middle is the sum of squares.
  std::vector<float> filter(9);
  for (int i = 0; i < 9; ++i) filter[static_cast<std::size_t>(i)] = static_cast<float>(i + 1);
  const ConvGeometry same{.c = 1, .k = 1, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
  CHECK(fprop_of(counting(3, 3, 1), same, filter) == std::vector<double>{94, 154, 106, 186, 285, 186, 106, 154, 94});
  // Dilated by 2, the padding is doubled too: the corner sees the pixels 0 and 2 away.
  ConvGeometry dilated = same;
  dilated.dilation = 2;
  const auto far = fprop_of(counting(5, 5, 1), dilated, std::vector<float>(9, 1));
  CHECK(far.size() == 25);
  CHECK(far[0] == 1 + 3 + 11 + 13);
  CHECK(far[12] == 1 + 3 + 5 + 11 + 13 + 15 + 21 + 23 + 25);
  // Strides of 2 down and 1 across, 1x1: every second row.
  CHECK(fprop_of(counting(3, 2, 1), {.c = 1, .k = 1, .stride_h = 2}, {10}) == std::vector<double>{10, 20, 50, 60});
  // Groups: the first filters see the first channels only. Filters [k][c / groups].
  const float bias[] = {0.5f, 0, 0, 0};
  CHECK(fprop_of(counting(1, 1, 4), {.c = 4, .k = 4, .groups = 2}, {1, 0, 0, 1, 1, 1, 2, 0}, bias) ==
        std::vector<double>{1.5, 2, 7, 6});
  // Taps before channels: filter [r][s][c].
  CHECK(fprop_of(counting(1, 2, 2), {.c = 2, .k = 1, .r = 1, .s = 2}, {1, 10, 100, 1000}) ==
        std::vector<double>{1 + 20 + 300 + 4000});
}

TEST_CASE("conv: gradients of the reference are those of finite differences") {
  Random random(3);
  for (const ConvCase& k : kCases) {
    CAPTURE(k.name);
    ConvProblem problem{
        .geometry = k.geometry, .n = k.n, .h = k.h, .w = k.w, .x = DType::f64, .y = DType::f64, .bias = true};
    Setup s(problem, random);
    TestTensor y = s.y;
    const TestTensor dy = TestTensor(s.y).fill_uniform(random, -1, 1);
    const auto loss = [&] {
      ref_row().run(problem, {.x = s.x, .y = y, .weights = s.weights.data(), .bias = s.bias.data()}, {});
      return weighted_sum(y, dy);
    };
    TestTensor dx = s.x;
    ConvProblem dgrad = problem, wgrad = problem;
    dgrad.direction = ConvDirection::dgrad;
    ref_row().run(dgrad, {.x = dx.poison(Poison::nan), .y = dy, .weights = s.weights.data()}, {});
    wgrad.direction = ConvDirection::wgrad;
    s.dweights.fill(0);
    s.dbias.fill(0);
    ref_row().run(wgrad, {.x = s.x, .y = dy, .dweights = s.dweights.data(), .dbias = s.dbias.data()}, {});
    // Linear in each: a large step has no error but rounding.
    check_gradient("dx", s.x, dx, s.x.elements(), loss, random, 0.25, {1e-10, 1e-10}, 12);
    check_gradient("dweights", s.weights, s.dweights, s.weights.size(), loss, random, 0.25, {1e-6, 1e-6}, 12);
    check_gradient("dbias", s.bias, s.dbias, s.bias.size(), loss, random, 0.25, {1e-6, 1e-6}, 4);
  }
}

TEST_CASE("conv: wgrad needs no gradient of the bias") {
  Random random(4);
  const ConvProblem problem{.direction = ConvDirection::wgrad,
                            .geometry = {.c = 5, .k = 7, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
                            .n = 1,
                            .h = 5,
                            .w = 4,
                            .bias = true};
  for (const ConvRow& row : cpu::conv_rows()) {
    CAPTURE(row.name);
    Setup s(problem, random);
    const Setup before = s;
    GuardedBytes workspace(row.workspace(problem));
    row.run(problem, {.x = s.x, .y = s.y, .dweights = s.dweights.data(), .workspace = workspace.data()}, {});
    CHECK(same_bits(s.dbias, before.dbias));
    CHECK_FALSE(same_bits(s.dweights, before.dweights));
  }
}

TEST_CASE("conv: arguments that do not fit are refused") {
  Random random(5);
  const ConvProblem problem{
      .geometry = {.c = 4, .k = 6, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1}, .n = 2, .h = 5, .w = 4};
  Setup s(problem, random);
  const ConvArgs good{.x = s.x, .y = s.y, .weights = s.weights.data()};
  CHECK_NOTHROW(check_conv(problem, good));
  const auto refused = [&](auto change) {
    ConvProblem p = problem;
    ConvArgs args = good;
    change(p, args);
    CHECK_THROWS_AS(check_conv(p, args), Error);
    for (const ConvRow& row : cpu::conv_rows()) CHECK_THROWS_AS(row.run(p, args, {}), Error);
  };
  refused([](ConvProblem&, ConvArgs& a) { a.x.data = nullptr; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.data = nullptr; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.n = 1; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.w = 5; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.c = 5; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.h = 4; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.pitch = 8; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.dtype = DType::bf16; });
  refused([](ConvProblem&, ConvArgs& a) { a.weights = nullptr; });
  refused([](ConvProblem& p, ConvArgs&) { p.direction = ConvDirection::wgrad; });
  refused([](ConvProblem& p, ConvArgs&) { p.geometry.groups = 3; });
  refused([](ConvProblem& p, ConvArgs&) { p.geometry.groups = 0; });
}
