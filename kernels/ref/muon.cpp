// Muon as it is defined, in double: the iteration takes place on the matrix itself.
#include <cstdint>
#include <vector>

#include "kernels/check.h"
#include "kernels/muon.h"
#include "kernels/step.h"

namespace rook::ref {
namespace {

struct Matrix {
  int rows, cols;
  std::vector<double> values;

  Matrix(int r, int c) : rows(r), cols(c), values(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)) {}
  double* row(int i) { return values.data() + std::int64_t{i} * cols; }
  const double* row(int i) const { return values.data() + std::int64_t{i} * cols; }
  double& at(int i, int j) { return row(i)[j]; }
  double at(int i, int j) const { return row(i)[j]; }
};

Matrix operator*(const Matrix& a, const Matrix& b) {
  Matrix c(a.rows, b.cols);
  for (int i = 0; i < a.rows; ++i)
    for (int k = 0; k < a.cols; ++k) {
      const double by = a.at(i, k), *row = b.row(k);
      double* sums = c.row(i);
      for (int j = 0; j < b.cols; ++j) sums[j] += by * row[j];
    }
  return c;
}

Matrix transposed(const Matrix& a) {
  Matrix t(a.cols, a.rows);
  for (int i = 0; i < a.rows; ++i)
    for (int j = 0; j < a.cols; ++j) t.at(j, i) = a.at(i, j);
  return t;
}

// x <- a x + (b G + c G^2) x, G = x x^T.
Matrix newton_schulz(const Matrix& x) {
  const Matrix gram = x * transposed(x), square = gram * gram;
  Matrix factor(x.rows, x.rows);
  for (int i = 0; i < x.rows; ++i)
    for (int j = 0; j < x.rows; ++j)
      factor.at(i, j) = double{NewtonSchulz::kA} * (i == j) + double{NewtonSchulz::kB} * gram.at(i, j) +
                        double{NewtonSchulz::kC} * square.at(i, j);
  return factor * x;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void muon_update(const MuonUpdate& given, Stream) {
  const MuonUpdate args = with_step(given);
  check_args(args);
  if (is_spoilt(args.step)) return;
  Matrix update(args.rows, args.cols);
  const std::size_t count = update.values.size();
  for (std::size_t i = 0; i < count; ++i) {
    const double g = double{args.gradient_scale} * args.gradient[i];
    const double v = double{args.momentum} * args.velocity[i] + g;
    args.velocity[i] = static_cast<float>(v);
    update.values[i] = g + double{args.momentum} * v;
  }
  const double length = std::sqrt(dot(update.values, update.values));
  if (length > 0)
    for (double& u : update.values) u /= length;
  for (int i = 0; i < args.iterations; ++i) update = newton_schulz(update);

  const std::vector<double> weights(args.weights, args.weights + count);
  const double ww = dot(weights, weights), oo = dot(update.values, update.values);
  if (ww == 0 || oo == 0) return;
  const double along = double{args.lr} * args.lr_scale * std::sqrt(ww / oo);
  std::vector<double> turned(count);
  for (std::size_t i = 0; i < count; ++i) turned[i] = weights[i] - along * update.values[i];
  const double back = std::sqrt(ww / dot(turned, turned));
  for (std::size_t i = 0; i < count; ++i) args.weights[i] = static_cast<float>(back * turned[i]);
}

std::size_t muon_update_workspace(const MuonUpdate&) {
  return 0;
}

}  // namespace rook::ref
