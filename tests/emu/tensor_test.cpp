// Tensor cores: the fragments' lane maps against the tables of the PTX ISA (8.x, section "Matrix Fragments for
// mma.m16n8k16 with floating point type" and "ldmatrix"), written down here row by row, and whole products.
#include <cmath>

#include "kernels/mma.cuh"
#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

// PTX's tables name, for every element, the thread and the register's half that hold it: "T5: {a2, a3}". Rows of A:
// 16 elements are threads T(4 g) .. T(4 g + 3), two elements each, then the same threads again.
struct Holder {
  int lane;
  int index;  // a0 .. a7, b0 .. b3, c0 .. c3
};

// "groupID = %laneid >> 2; threadID_in_group = %laneid % 4
//  row = groupID            for ai where 0 <= i < 2 || 4 <= i < 6,  groupID + 8 otherwise
//  col = (threadID_in_group * 2) + (i & 0x1)        for ai where i < 4,  ... + 8 for i >= 4"
Holder holder_of_a(int row, int column) {
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 8; ++i) {
      const int group = lane >> 2, in_group = lane % 4;
      const int r = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
      const int c = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
      if (r == row && c == column) return {lane, i};
    }
  return {-1, -1};
}
// "row = (threadID_in_group * 2) + (i & 0x1) for bi where i < 2, ... + 8 for i >= 2;  col = groupID"
Holder holder_of_b(int row, int column) {
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int r = (lane % 4) * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      if (r == row && (lane >> 2) == column) return {lane, i};
    }
  return {-1, -1};
}
// "row = groupID for ci where i < 2, groupID + 8 for i >= 2;  col = (threadID_in_group * 2) + (i & 0x1)"
Holder holder_of_c(int row, int column) {
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      if ((lane >> 2) + (i < 2 ? 0 : 8) == row && (lane % 4) * 2 + (i & 1) == column) return {lane, i};
  return {-1, -1};
}

// Corners of the tables as they are printed.
TEST_CASE("the tables as the PTX ISA prints them") {
  CHECK(holder_of_a(0, 0).lane == 0);
  CHECK(holder_of_a(0, 15).lane == 3);
  CHECK(holder_of_a(0, 15).index == 5);
  CHECK(holder_of_a(8, 0).index == 2);
  CHECK(holder_of_a(15, 15).lane == 31);
  CHECK(holder_of_a(15, 15).index == 7);
  CHECK(holder_of_b(9, 0).lane == 0);
  CHECK(holder_of_b(9, 0).index == 3);
  CHECK(holder_of_b(15, 7).lane == 31);
  CHECK(holder_of_c(8, 7).lane == 3);
  CHECK(holder_of_c(8, 7).index == 3);
}

struct Lane {
  std::uint16_t a[8];
  std::uint16_t b[4];
  float c[4];
};

template <class T>
__global__ void one_mma(Lane* lanes) {
  Lane& mine = lanes[threadIdx.x];
  std::uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = mine.a[2 * i] | static_cast<std::uint32_t>(mine.a[2 * i + 1]) << 16;
  for (int i = 0; i < 2; ++i) b[i] = mine.b[2 * i] | static_cast<std::uint32_t>(mine.b[2 * i + 1]) << 16;
  mma_m16n8k16<T>(mine.c, a, b);
}

template <class T>
std::uint16_t bits(float value) {
  return T(value).bits;
}

TEST_CASE_TEMPLATE("mma.m16n8k16 multiplies what the tables say", T, __nv_bfloat16, __half) {
  for_each_order([] {
    // A one in every place of A and B in turn: exactly one column of B, one row of A, appears in the product.
    for (int row = 0; row < 16; ++row) {
      for (int k = 0; k < 16; ++k) {
        std::vector<Lane> lanes(32, Lane{});
        const Holder place = holder_of_a(row, k);
        lanes[static_cast<std::size_t>(place.lane)].a[place.index] = bits<T>(1);
        for (int column = 0; column < 8; ++column)
          for (int i = 0; i < 16; ++i) {
            const Holder h = holder_of_b(i, column);
            lanes[static_cast<std::size_t>(h.lane)].b[h.index] = bits<T>(static_cast<float>(i * 8 + column));
          }
        for (Lane& lane : lanes)
          for (float& c : lane.c) c = 0.5f;
        run({1, 32}, one_mma<T>, lanes.data());
        for (int r = 0; r < 16; ++r)
          for (int column = 0; column < 8; ++column) {
            const Holder h = holder_of_c(r, column);
            const float expected = 0.5f + (r == row ? static_cast<float>(k * 8 + column) : 0.0f);
            REQUIRE(lanes[static_cast<std::size_t>(h.lane)].c[h.index] == expected);
          }
      }
    }
  });
}

struct alignas(16) Matrices {
  std::uint16_t of[4][8][8];
};

template <int Count, bool Transposed>
__global__ void load(const Matrices* in, std::uint32_t* out) {
  auto& shared = block_shared<Matrices>();
  const unsigned lane = threadIdx.x;
  for (unsigned i = 0; i < 8; ++i) shared.of[lane / 8][lane % 8][i] = in->of[lane / 8][lane % 8][i];
  __syncthreads();
  std::uint32_t d[Count];
  const void* row = shared.of[lane / 8 % Count][lane % 8];
  if constexpr (Count == 1 && !Transposed) ldmatrix_x1(d, row);
  if constexpr (Count == 2 && !Transposed) ldmatrix_x2(d, row);
  if constexpr (Count == 4 && !Transposed) ldmatrix_x4(d, row);
  if constexpr (Count == 1 && Transposed) ldmatrix_x1_trans(d, row);
  if constexpr (Count == 2 && Transposed) ldmatrix_x2_trans(d, row);
  if constexpr (Count == 4 && Transposed) ldmatrix_x4_trans(d, row);
  for (int i = 0; i < Count; ++i) out[lane * Count + static_cast<unsigned>(i)] = d[i];
}

// PTX ISA, ldmatrix: "Row 0: T0 T0 T1 T1 T2 T2 T3 T3; row 1: T4 T4 ...; row 7: T28 ... T31"; element 2 t of a row is in
// the lower half.
template <int Count, bool Transposed>
void check_load() {
  Matrices in;
  for (int m = 0; m < 4; ++m)
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 8; ++c) in.of[m][r][c] = static_cast<std::uint16_t>(m * 1000 + r * 10 + c);
  for_each_order([&] {
    std::vector<std::uint32_t> out(32 * Count);
    run({1, 32}, load<Count, Transposed>, &in, out.data());
    for (int m = 0; m < Count; ++m)
      for (int r = 0; r < 8; ++r)
        for (int c = 0; c < 8; ++c) {
          const std::uint32_t pair = out[static_cast<std::size_t>((r * 4 + c / 2) * Count + m)];
          const std::uint32_t element = c % 2 == 0 ? pair & 0xffffu : pair >> 16;
          REQUIRE(element == (Transposed ? in.of[m][c][r] : in.of[m][r][c]));
        }
  });
}

TEST_CASE("ldmatrix") {
  check_load<1, false>();
  check_load<2, false>();
  check_load<4, false>();
  check_load<1, true>();
  check_load<2, true>();
  check_load<4, true>();
}

// c[m][n] = a[m][k] b[k][n], one warp for 16 x 8 of c, through shared memory and ldmatrix. m, n, k: multiples of
// 16, 8, 16.
template <class T>
__global__ void gemm(const T* a, const T* b, float* c, int n, int k) {
  struct alignas(16) Tile {
    T a[16][16];
    T b[16][8];
  };
  auto& tile = block_shared<Tile>();
  const int lane = static_cast<int>(threadIdx.x);
  const int row = static_cast<int>(blockIdx.y) * 16;
  const int column = static_cast<int>(blockIdx.x) * 8;
  float d[4] = {};
  for (int k0 = 0; k0 < k; k0 += 16) {
    cp_async<16>(&tile.a[lane / 2][lane % 2 * 8], a + (row + lane / 2) * k + k0 + lane % 2 * 8);
    if (lane < 16) cp_async<16>(&tile.b[lane][0], b + (k0 + lane) * n + column);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    std::uint32_t fa[4], fb[2];
    ldmatrix_x4(fa, &tile.a[lane % 8 + lane / 8 % 2 * 8][lane / 16 * 8]);
    ldmatrix_x2_trans(fb, &tile.b[lane % 16][0]);
    mma_m16n8k16<T>(d, fa, fb);
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) c[(row + lane / 4 + i / 2 * 8) * n + column + lane % 4 * 2 + i % 2] = d[i];
}

TEST_CASE_TEMPLATE("a random matrix product through cp.async, ldmatrix and mma", T, __nv_bfloat16, __half) {
  constexpr int kM = 48, kN = 40, kK = 80;
  std::vector<T> a(kM * kK), b(kK * kN);
  std::uint32_t state = 12345;
  const auto random = [&] {
    state = state * 1664525u + 1013904223u;
    return T(static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
  };
  for (T& v : a) v = random();
  for (T& v : b) v = random();
  for_each_order([&] {
    std::vector<float> c(kM * kN, -1);
    run({dim3(kN / 8, kM / 16), 32}, gemm<T>, a.data(), b.data(), c.data(), kN, kK);
    for (int m = 0; m < kM; ++m)
      for (int n = 0; n < kN; ++n) {
        double sum = 0;
        for (int k = 0; k < kK; ++k)
          sum += static_cast<double>(static_cast<float>(a[static_cast<std::size_t>(m * kK + k)])) *
                 static_cast<double>(static_cast<float>(b[static_cast<std::size_t>(k * kN + n)]));
        REQUIRE(std::abs(c[static_cast<std::size_t>(m * kN + n)] - sum) <= 1e-4);
      }
  });
}

__global__ void part_of_warp(Lane* lanes) {
  if (threadIdx.x >= 31) return;
  const std::uint32_t a[4] = {}, b[2] = {};
  mma_m16n8k16<__half>(lanes[threadIdx.x].c, a, b);
}
__global__ void row_elsewhere(const Matrices* in) {
  std::uint32_t d[1];
  ldmatrix_x1(d, in->of[0][0]);
}
__global__ void row_misaligned() {
  std::uint32_t d[1];
  ldmatrix_x1(d, &block_shared<Matrices>().of[0][0][1]);
}

TEST_CASE("mma without the whole warp and ldmatrix of wrong rows are Errors") {
  std::vector<Lane> lanes(32);
  Matrices in{};
  for_each_order([&] { CHECK(contains(error_of({1, 32}, part_of_warp, lanes.data()), "needs all 32 threads")); });
  CHECK(contains(error_of({1, 32}, row_elsewhere, &in), "not 16 aligned bytes of shared memory"));
  CHECK(contains(error_of({1, 32}, row_misaligned), "not 16 aligned bytes of shared memory"));
}

}  // namespace
}  // namespace rook::emu::test
