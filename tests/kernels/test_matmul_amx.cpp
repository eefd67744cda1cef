// Products in tile registers, emulated, against sums in double precision or of integers.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "convert.h"
#include "emulated_tiles.h"
#include "processor.h"

namespace trn {
namespace {

struct Size {
  int64_t m, n, k;
};

// A matrix of a batch whose lines lie `gap` elements farther apart than they must; what lies
// between them may not be read as a number.
template <class T>
struct Matrix {
  int64_t rows, columns, line;
  bool by_column;
  std::vector<T> data;
  Matrix(int64_t batch, int64_t rows, int64_t columns, bool by_column, T between, int64_t gap = 3)
      : rows(rows),
        columns(columns),
        line((by_column ? rows : columns) + gap),
        by_column(by_column),
        data(batch * line * (by_column ? columns : rows), between) {}
  int64_t all() const { return line * (by_column ? columns : rows); }
  T& at(int64_t batch, int64_t i, int64_t j) {
    return data[batch * all() + (by_column ? j * line + i : i * line + j)];
  }
  Operand operand(int64_t batch) {
    Operand o{};
    o.data = data.data();
    o.dtype = DTypeOf<T>::value;
    o.ndim = 3;
    o.sizes[0] = batch, o.sizes[1] = rows, o.sizes[2] = columns;
    o.strides[0] = all(), o.strides[1] = by_column ? 1 : line, o.strides[2] = by_column ? line : 1;
    return o;
  }
};

struct Numbers {
  uint32_t state = 1;
  int next() { return static_cast<int>((state = state * 1664525u + 1013904223u) >> 24) - 128; }
};

std::vector<char> run(void (*kernel)(const Call&, const Range&), Call& call, int64_t batch,
                      const Size& size, int64_t tile_m, int64_t tile_n) {
  std::vector<char> scratch(kScratchBytes + 64, '\xff');  // NaNs
  char* aligned = scratch.data() + (-reinterpret_cast<uintptr_t>(scratch.data()) & 63);
  call.noperands = 4;
  call.ints[0] = tile_m, call.ints[1] = tile_n;
  const int64_t tiles = (size.m + tile_m - 1) / tile_m * ((size.n + tile_n - 1) / tile_n);
  kernel(call, Range{0, batch * tiles, aligned, nullptr});
  return scratch;
}

template <class C>
void check_pairs(const Size& size, bool a_by_column, bool b_by_column, int64_t tile_m,
                 int64_t tile_n, double alpha, double beta, bool one_row) {
  constexpr int64_t kBatch = 2;
  const bf16_t nan(std::nanf(""));
  Matrix<bf16_t> a(kBatch, size.m, size.k, a_by_column, nan);
  Matrix<bf16_t> b(kBatch, size.k, size.n, b_by_column, nan);
  Matrix<C> c(kBatch, size.m, size.n, false, C(7.f)), d(kBatch, size.m, size.n, false, C(0.f));
  Numbers numbers;
  for (int64_t g = 0; g < kBatch; ++g) {
    for (int64_t i = 0; i < size.m; ++i)
      for (int64_t p = 0; p < size.k; ++p) a.at(g, i, p) = bf16_t(numbers.next() / 16.f);
    for (int64_t p = 0; p < size.k; ++p)
      for (int64_t j = 0; j < size.n; ++j) b.at(g, p, j) = bf16_t(numbers.next() / 16.f);
    for (int64_t i = 0; i < size.m; ++i)
      for (int64_t j = 0; j < size.n; ++j) d.at(g, i, j) = C(numbers.next() / 4.f);
  }
  Call call{};
  call.operand[0] = c.operand(kBatch), call.operand[1] = a.operand(kBatch);
  call.operand[2] = b.operand(kBatch), call.operand[3] = d.operand(kBatch);
  if (one_row) call.operand[3].strides[1] = 0;
  if (beta == 0) call.operand[3].ndim = -1;
  call.reals[0] = alpha, call.reals[1] = beta;
  run(matmul_pairs_emulated, call, kBatch, size, tile_m, tile_n);
  const double step = __is_same(C, bf16_t) ? 1.0 / 256 : 1e-5;
  for (int64_t g = 0; g < kBatch; ++g)
    for (int64_t i = 0; i < size.m; ++i)
      for (int64_t j = 0; j < size.n; ++j) {
        double sum = 0, scale = 0;
        for (int64_t p = 0; p < size.k; ++p) {
          const double term = static_cast<double>(static_cast<float>(a.at(g, i, p))) *
                              static_cast<double>(static_cast<float>(b.at(g, p, j)));
          sum += term, scale += std::fabs(term);
        }
        sum *= alpha;
        if (beta != 0) {
          const double added =
              beta * static_cast<double>(static_cast<float>(d.at(g, one_row ? 0 : i, j)));
          sum += added, scale += std::fabs(added);
        }
        ASSERT_NEAR(static_cast<float>(c.at(g, i, j)), sum,
                    step * std::fabs(sum) + 1e-6 * scale + 1e-30)
            << size.m << "x" << size.n << "x" << size.k << " at " << i << ", " << j;
      }
  for (int64_t i = 0; i + 1 < size.m; ++i)  // what lies between rows is as it was
    ASSERT_EQ(static_cast<float>(c.at(0, i, size.n)), 7.f);
}

class Tiles : public testing::TestWithParam<Size> {
 protected:
  void SetUp() override {
    if (!has_dot_products()) GTEST_SKIP() << "the processor has no AVX512 with dot products";
  }
};

TEST_P(Tiles, PairsInEveryOrder) {
  for (int order = 0; order < 4; ++order) {
    check_pairs<bf16_t>(GetParam(), order & 1, order & 2, 1024, 512, 1, 0, false);
    check_pairs<float>(GetParam(), order & 1, order & 2, 64, 32, 1, 0, false);
  }
}
TEST_P(Tiles, PairsScaledAndAdded) {
  check_pairs<bf16_t>(GetParam(), false, false, 96, 64, 1, 1, true);
  check_pairs<bf16_t>(GetParam(), false, true, 1024, 512, 0.5, 2, false);
  check_pairs<float>(GetParam(), true, false, 32, 512, 1, 1, true);
}

TEST_P(Tiles, BytesAreExact) {
  const Size size = GetParam();
  for (int order = 0; order < 4; ++order) {
    Matrix<int8_t> a(1, size.m, size.k, order & 1, 99), b(1, size.k, size.n, order & 2, 99);
    Matrix<int32_t> c(1, size.m, size.n, false, 7);
    Numbers numbers;
    for (int64_t i = 0; i < size.m; ++i)
      for (int64_t p = 0; p < size.k; ++p) a.at(0, i, p) = static_cast<int8_t>(numbers.next());
    for (int64_t p = 0; p < size.k; ++p)
      for (int64_t j = 0; j < size.n; ++j) b.at(0, p, j) = static_cast<int8_t>(numbers.next());
    Call call{};
    call.operand[0] = c.operand(1), call.operand[1] = a.operand(1);
    call.operand[2] = b.operand(1);
    call.operand[3].ndim = -1;
    call.reals[0] = 1;
    run(matmul_bytes_emulated, call, 1, size, 64, 64);
    for (int64_t i = 0; i < size.m; ++i)
      for (int64_t j = 0; j < size.n; ++j) {
        int32_t sum = 0;
        for (int64_t p = 0; p < size.k; ++p) sum += a.at(0, i, p) * b.at(0, p, j);
        ASSERT_EQ(c.at(0, i, j), sum) << size.m << "x" << size.n << "x" << size.k << " order "
                                      << order << " at " << i << ", " << j;
      }
  }
}

// Around a tile's height, a strip's width, a step of k, a block of k and a panel of rows.
INSTANTIATE_TEST_SUITE_P(Sizes, Tiles,
                         testing::Values(Size{17, 17, 1}, Size{32, 32, 32}, Size{31, 33, 31},
                                         Size{33, 48, 64}, Size{64, 49, 33}, Size{40, 40, 511},
                                         Size{97, 65, 545}, Size{130, 70, 1101}, Size{100, 520, 20},
                                         Size{20, 18, 5131}),
                         [](const auto& info) {
                           return std::to_string(info.param.m) + "x" +
                                  std::to_string(info.param.n) + "x" + std::to_string(info.param.k);
                         });

}  // namespace
}  // namespace trn
