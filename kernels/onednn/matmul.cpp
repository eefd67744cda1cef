// The reference rank of matmul: oneDNN's sgemm, with the operands of kernels/matmul.cpp.
//
// Whether a wrong product comes from a kernel or from above it is one variable:
// TRN_KERNELS=reference. Single-threaded inside a range; oneDNN may allocate, which no other
// kernel does.
#include <dlfcn.h>
#include <dnnl.h>

#include "../convert.h"
#include "../matmul_tiles.h"

namespace trn {
namespace {

// Opened apart: torch exports symbols of the oneDNN inside it, which linking would mix with these.
decltype(&dnnl_sgemm) sgemm() {
  static const auto function = [] {
    void* library = dlopen(TRN_ONEDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    return library ? reinterpret_cast<decltype(&dnnl_sgemm)>(dlsym(library, "dnnl_sgemm"))
                   : nullptr;
  }();
  return function;
}

// A matrix as sgemm takes one: dense along rows or along columns, else copied to scratch.
struct Dense {
  const float* data;
  int64_t ld;
  char transposed;
};
Dense dense(const float* data, int64_t rows, int64_t columns, int64_t row_stride,
            int64_t column_stride, float* scratch) {
  if (column_stride == 1 && row_stride >= columns) return {data, row_stride, 'N'};
  if (row_stride == 1 && column_stride >= rows) return {data, column_stride, 'T'};
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      scratch[i * columns + j] = data[i * row_stride + j * column_stride];
  return {scratch, columns, 'N'};
}

void matmul(const Call& call, const Range& range) {
  const Operand &c = call.operand[0], &a = call.operand[1], &b = call.operand[2],
                &d = call.operand[3];
  const int64_t m = c.sizes[1], n = c.sizes[2], k = a.sizes[2];
  const bool thin = is_thin(m, n);
  const int64_t tile_m = call.ints[0], tile_n = call.ints[1];
  const int64_t across = (n + tile_n - 1) / tile_n;
  const int64_t longer = m <= kThin ? n : m;
  const int64_t items = thin ? (longer + tile_n - 1) / tile_n : (m + tile_m - 1) / tile_m * across;
  float* sums = reinterpret_cast<float*>(range.scratch);
  float* left = sums + kMaxTile;
  float* right = left + kMaxTileM * kDepth;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t batch = item / items, tile = item % items;
    const bool by_column = thin && m > kThin;
    const int64_t i0 = thin ? (by_column ? tile * tile_n : 0) : tile / across * tile_m;
    const int64_t j0 = thin ? (by_column ? 0 : tile * tile_n) : tile % across * tile_n;
    const auto part = [](int64_t size, int64_t from, int64_t step) {
      return size - from < step ? size - from : step;
    };
    const int64_t rows = thin ? (by_column ? part(m, i0, tile_n) : m) : part(m, i0, tile_m);
    const int64_t columns = thin ? (by_column ? n : part(n, j0, tile_n)) : part(n, j0, tile_n);
    for (int64_t i = 0; i < rows * columns; ++i) sums[i] = 0;
    for (int64_t k0 = 0; k0 < k; k0 += kDepth) {
      const int64_t depth = part(k, k0, kDepth);
      const Dense x =
          dense(a.as<float>() + batch * a.strides[0] + i0 * a.strides[1] + k0 * a.strides[2], rows,
                depth, a.strides[1], a.strides[2], left);
      const Dense y =
          dense(b.as<float>() + batch * b.strides[0] + k0 * b.strides[1] + j0 * b.strides[2], depth,
                columns, b.strides[1], b.strides[2], right);
      sgemm()(x.transposed, y.transposed, rows, columns, depth, 1.f, x.data, x.ld, y.data, y.ld,
              1.f, sums, columns);
    }
    const float alpha = static_cast<float>(call.reals[0]), beta = static_cast<float>(call.reals[1]);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        const auto at = [&](const Operand& o) {
          return batch * o.strides[0] + (i0 + i) * o.strides[1] + (j0 + j) * o.strides[2];
        };
        float value = alpha * sums[i * columns + j];
        if (beta != 0 && !d.absent()) value += beta * d.as<float>()[at(d)];
        c.as<float>()[at(c)] = value;
      }
  }
}

[[maybe_unused]] const bool registered =
    sgemm() && register_kernel("matmul", DType::f32, Isa::reference, matmul);

}  // namespace
}  // namespace trn
