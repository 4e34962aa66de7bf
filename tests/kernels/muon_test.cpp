// Muon: cpu against ref, and what ref itself must hold to.
#include "kernels/cpu/matmul.h"
#include "tests/kernels/muon_cases.h"

namespace rook::test {

TEST_CASE("muon_update: cpu is ref, for wide and tall matrices, whatever the number of threads") {
  test_muon(cpu_subject(), kMuonCases);
  test_muon(cpu_subject(), kLargeMuonCases);
}
TEST_CASE("muon_update: a step turns by its rate, keeps the length, and hears faint directions") {
  test_muon_turns(cpu_subject());
}
TEST_CASE("muon_update: rests without a gradient, without weights, and after a step that was spoilt") {
  test_muon_rests(cpu_subject());
}
TEST_CASE("muon_update: arguments that do not fit are errors") {
  test_muon_errors(cpu_subject());
}

// A row is a matrix of one singular value: the update is the direction of the momentum, a rotation in the plane of
// both.
TEST_CASE("muon_update: a row, worked out by hand") {
  for (const bool reference : {false, true}) {
    float w[] = {3, 4}, v[] = {0, 0};
    const float g[] = {8, -6};  // at right angles to w
    MuonUpdate args{.weights = w, .gradient = g, .velocity = v, .rows = 1, .cols = 2, .lr = 0.75f, .momentum = 0.5f};
    TestWorkspace workspace(cpu::muon_update_workspace(args));
    args.workspace = workspace.data();
    if (reference)
      ref::muon_update(args);
    else
      cpu::muon_update(args);
    // w - 0.75 * 5 * (0.8, -0.6) = (0, 6.25), back to length 5.
    CHECK(w[0] == doctest::Approx(0).epsilon(1e-5));
    CHECK(w[1] == doctest::Approx(5).epsilon(1e-5));
    CHECK(v[0] == 8);
    CHECK(v[1] == -6);
  }
}

// Of the elements of `product` [rows, columns], in parts of the sum of the magnitudes of what was added up.
double worst_error(const TestArray<float>& a, const TestArray<float>& b, const TestArray<float>& product,
                   std::int64_t columns, std::int64_t depth) {
  const std::int64_t rows = product.size() / columns;
  double worst = 0;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = 0, magnitude = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        const double term = double{a[k * rows + i]} * b[k * columns + j];
        sum += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(product[i * columns + j] - sum) / magnitude;
      worst = error <= worst ? worst : error;  // NaN stays
    }
  return worst;
}

TestArray<float> transpose_of(const TestArray<float>& from, std::int64_t rows, std::int64_t columns) {
  TestArray<float> to(rows * columns);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  return to;
}

TEST_CASE("multiply: the product in double, odd sizes, factors either way around, with and without symmetry") {
  struct Sizes {
    std::int64_t m, n, k;
  };
  Random random(17);
  for (const Sizes& sizes : {Sizes{1, 1, 1}, {7, 33, 5}, {97, 200, 300}, {96, 32, 256}, {130, 130, 513}}) {
    CAPTURE(sizes.m);
    const auto [m, n, k] = sizes;
    TestArray<float> a(k * m), b(k * n), c(m * n), s(m * m);
    a.fill_uniform(random);
    b.fill_uniform(random);
    const TestArray<float> a_rows = transpose_of(a, k, m), b_rows = transpose_of(b, k, n);  // [m, k] and [n, k]
    for (const bool turned : {false, true}) {
      CAPTURE(turned);
      const cpu::Factor left = turned ? cpu::transposed(a.data()) : cpu::Factor{a_rows.data()};
      cpu::multiply(left, {b.data()}, c.data(), m, n, k);
      CHECK(worst_error(a, b, c, n, k) <= 1e-6);
      cpu::multiply(left, cpu::transposed(b_rows.data()), c.data(), m, n, k);
      CHECK(worst_error(a, b, c, n, k) <= 1e-6);
      const cpu::Factor right = turned ? cpu::Factor{a.data()} : cpu::transposed(a_rows.data());
      cpu::multiply(left, right, s.data(), m, m, k, cpu::Product::symmetric);
      CHECK(worst_error(a, a, s, m, k) <= 1e-6);
    }
    CHECK((c.guards_intact() && s.guards_intact()));
  }
}

}  // namespace rook::test
