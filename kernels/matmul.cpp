// Matrix products of floating-point types.
//
// operands: C [batch, m, n] of any float type; A [batch, m, k], B [batch, k, n] of the kernel's
// type, any strides; D like C or absent. C = alpha A B + beta D; D is not read if beta is 0.
// reals: alpha, beta. Items: matmul_items(m, n) a matrix.
#include "matmul_tiles.h"

#include "blocks.h"

namespace trn {
namespace {

// Register tile: kRows rows of kVectors vectors, as many as the registers hold beside one row of B.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 12;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRows = 6;
#else
constexpr int kVectorBytes = 16, kRows = 4;
#endif
constexpr int kVectors = 2;

template <class A>
struct Tile {
  typedef A Vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(A))));
  static constexpr int kLanes = kVectorBytes / sizeof(A);
  static constexpr int kColumns = kVectors * kLanes;
};

// acc[kRows][row stride] += a panel [k][kRows] times b strip [k][kColumns].
template <class A>
void multiply_tile(const A* a, const A* b, int64_t k, A* acc, int64_t stride) {
  using V = typename Tile<A>::Vector;
  constexpr int kLanes = Tile<A>::kLanes;
  V sum[kRows][kVectors] = {};
  for (int64_t p = 0; p < k; ++p) {
    V row[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) row[v] = *reinterpret_cast<const V*>(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] += row[v] * a[r];
    }
    a += kRows;
    b += kVectors * kLanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<V*>(acc + r * stride + v * kLanes) += sum[r][v];
}

// Rows of a matrix as panels of `width` interleaved rows, converted, padded with zeros.
template <class S, class A, int width>
void pack(A* to, const S* from, int64_t rows, int64_t depth, int64_t row_stride,
          int64_t depth_stride) {
  for (int64_t r = 0; r < rows; r += width) {
    const int64_t n = rows - r < width ? rows - r : width;
    const S* block = from + r * row_stride;
    if (row_stride == 1 && n == width) {
      for (int64_t p = 0; p < depth; ++p)
        for (int i = 0; i < width; ++i) to[p * width + i] = static_cast<A>(block[p * depth_stride + i]);
    } else {
      for (int64_t i = 0; i < n; ++i)
        for (int64_t p = 0; p < depth; ++p)
          to[p * width + i] = static_cast<A>(block[i * row_stride + p * depth_stride]);
      for (int64_t i = n; i < width; ++i)
        for (int64_t p = 0; p < depth; ++p) to[p * width + i] = A(0);
    }
    to += width * depth;
  }
}

struct Problem {
  Operand c, a, b, d;
  int64_t m, n, k;
  double alpha, beta;
};

TRN_INLINE Operand matrix_of(const Operand& o, int64_t batch) {
  Operand m = o;
  if (!o.absent())
    m.data = o.as<char>() + batch * o.strides[0] * dtype_size(o.dtype);
  return m;
}

TRN_INLINE Problem problem_of(const Call& call, int64_t batch) {
  const Operand &c = call.operand[0], &a = call.operand[1];
  return {matrix_of(c, batch), matrix_of(a, batch), matrix_of(call.operand[2], batch),
          matrix_of(call.operand[3], batch), c.sizes[1], c.sizes[2], a.sizes[2],
          call.reals[0], call.reals[1]};
}

// C[row, column...] = alpha * sums + beta * D for `n` dense sums.
template <class A>
void write_row(const Problem& p, A* sums, int64_t row, int64_t column, int64_t n, bool by_column,
               A* buffer) {
  const int64_t cs = by_column ? p.c.strides[1] : p.c.strides[2];
  const auto offset = [&](const Operand& o) {
    return (by_column ? column * o.strides[1] + row * o.strides[2]
                      : row * o.strides[1] + column * o.strides[2]);
  };
  if (p.alpha != 1)
    for (int64_t j = 0; j < n; ++j) sums[j] *= static_cast<A>(p.alpha);
  if (p.beta != 0 && !p.d.absent()) {
    const int64_t ds = by_column ? p.d.strides[1] : p.d.strides[2];
    TRN_ISA_NAMESPACE::convert_run(buffer, DTypeOf<A>::value, 1,
                                   p.d.as<char>() + offset(p.d) * dtype_size(p.d.dtype), p.d.dtype,
                                   ds, n);
    for (int64_t j = 0; j < n; ++j) sums[j] += static_cast<A>(p.beta) * buffer[j];
  }
  TRN_ISA_NAMESPACE::convert_run(p.c.as<char>() + offset(p.c) * dtype_size(p.c.dtype), p.c.dtype,
                                 cs, sums, DTypeOf<A>::value, 1, n);
}

template <class S, class A>
void multiply_block(const Problem& p, int64_t m0, int64_t n0, char* scratch) {
  constexpr int kColumns = Tile<A>::kColumns;
  const int64_t m = p.m - m0 < kTileM ? p.m - m0 : kTileM;
  const int64_t n = p.n - n0 < kTileN ? p.n - n0 : kTileN;
  const int64_t stride = (n + kColumns - 1) / kColumns * kColumns;
  const int64_t rows = (m + kRows - 1) / kRows * kRows;
  A* acc = reinterpret_cast<A*>(scratch);
  A* b_panel = acc + (kTileM + kRows) * kTileN;
  A* a_panel = b_panel + kDepth * kTileN;
  A* buffer = a_panel + (kPanelM + kRows) * kDepth;
  __builtin_memset(acc, 0, rows * stride * sizeof(A));
  for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
    const int64_t depth = p.k - k0 < kDepth ? p.k - k0 : kDepth;
    pack<S, A, kColumns>(b_panel,
                         p.b.as<S>() + k0 * p.b.strides[1] + n0 * p.b.strides[2], n, depth,
                         p.b.strides[2], p.b.strides[1]);
    for (int64_t i0 = 0; i0 < m; i0 += kPanelM) {
      const int64_t height = m - i0 < kPanelM ? m - i0 : kPanelM;
      pack<S, A, kRows>(a_panel,
                        p.a.as<S>() + (m0 + i0) * p.a.strides[1] + k0 * p.a.strides[2], height,
                        depth, p.a.strides[1], p.a.strides[2]);
      for (int64_t j = 0; j < n; j += kColumns)
        for (int64_t i = 0; i < height; i += kRows)
          multiply_tile<A>(a_panel + i * depth, b_panel + j * depth, depth,
                           acc + (i0 + i) * stride + j, stride);
    }
  }
  for (int64_t i = 0; i < m; ++i)
    write_row<A>(p, acc + i * stride, m0 + i, n0, n, false, buffer);
}

// Up to kThin rows of C: the larger factor is read once, as it lies, and nothing is packed.
// `thin` is that of A by rows, or of B by columns with the roles of m and n exchanged.
template <class S, class A>
void multiply_thin(const Problem& p, int64_t j0, char* scratch) {
  const bool by_column = p.m > kThin;
  const Operand &x = by_column ? p.b : p.a, &y = by_column ? p.a : p.b;
  const int64_t rows = by_column ? p.n : p.m, all = by_column ? p.m : p.n;
  const int64_t xr = x.strides[by_column ? 2 : 1], xk = x.strides[by_column ? 1 : 2];
  const int64_t yk = y.strides[by_column ? 2 : 1], yc = y.strides[by_column ? 1 : 2];
  const int64_t n = all - j0 < kThinColumns ? all - j0 : kThinColumns;
  A* sums = reinterpret_cast<A*>(scratch);
  A* buffer = sums + kThin * kThinColumns;
  A* left = buffer + kThinColumns;
  for (int64_t i = 0; i < rows * kThinColumns; ++i) sums[i] = 0;
  constexpr int64_t kStrip = 2048;  // of k: the thin factor's strip stays in the first-level cache
  constexpr int kLanes = 2 * Tile<A>::kLanes;
  for (int64_t k0 = 0; k0 < p.k; k0 += kStrip) {
    const int64_t depth = p.k - k0 < kStrip ? p.k - k0 : kStrip;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t q = 0; q < depth; ++q)
        left[i * kStrip + q] = static_cast<A>(x.as<S>()[i * xr + (k0 + q) * xk]);
    if (yk == 1) {
      for (int64_t j = 0; j < n; ++j) {
        const S* column = y.as<S>() + (j0 + j) * yc + k0;
        for (int64_t i = 0; i < rows; ++i) {
          const A* l = left + i * kStrip;
          A lane[kLanes] = {};
          int64_t q = 0;
          for (; q + kLanes <= depth; q += kLanes)
            for (int v = 0; v < kLanes; ++v) lane[v] += l[q + v] * static_cast<A>(column[q + v]);
          for (int v = 0; q < depth; ++q, ++v) lane[v] += l[q] * static_cast<A>(column[q]);
          A sum = 0;
          for (int v = 0; v < kLanes; ++v) sum += lane[v];
          sums[i * kThinColumns + j] += sum;
        }
      }
    } else {
      for (int64_t q = 0; q < depth; ++q) {
        const S* row = y.as<S>() + j0 * yc + (k0 + q) * yk;
        for (int64_t i = 0; i < rows; ++i) {
          const A l = left[i * kStrip + q];
          A* s = sums + i * kThinColumns;
          if (yc == 1)
            for (int64_t j = 0; j < n; ++j) s[j] += l * static_cast<A>(row[j]);
          else
            for (int64_t j = 0; j < n; ++j) s[j] += l * static_cast<A>(row[j * yc]);
        }
      }
    }
  }
  for (int64_t i = 0; i < rows; ++i)
    write_row<A>(p, sums + i * kThinColumns, i, j0, n, by_column, buffer);
}

template <class S>
void matmul(const Call& call, const Range& range) {
  using A = acc_t<S>;
  const int64_t m = call.operand[0].sizes[1], n = call.operand[0].sizes[2];
  const int64_t items = matmul_items(m, n);
  const int64_t across = (n + kTileN - 1) / kTileN;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const Problem p = problem_of(call, i / items);
    const int64_t tile = i % items;
    if (is_thin(m, n))
      multiply_thin<S, A>(p, tile * kThinColumns, range.scratch);
    else
      multiply_block<S, A>(p, tile / across * kTileM, tile % across * kTileN, range.scratch);
  }
}

static_assert(((kTileM + kRows) * kTileN + kDepth * kTileN + (kPanelM + kRows) * kDepth + kTileN) *
                  sizeof(double) <= kScratchBytes);

TRN_REGISTER_FLOATS(matmul, matmul);

}  // namespace
}  // namespace trn
