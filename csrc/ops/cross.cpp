// linalg_cross, and the coordinates of triangles.
#include <ATen/native/Cross.h>
#include <ATen/ops/empty.h>

#include "ops/index.h"

namespace trn::ops {
namespace {

const Family cross("cross"), triangle("triangle");

void cross_kernel(const at::Tensor& result, const at::Tensor& a, const at::Tensor& b,
                  const int64_t dim) {
  TORCH_CHECK(a.scalar_type() == b.scalar_type(), "expected scalar type ", a.scalar_type(),
              " but found ", b.scalar_type());
  if (result.numel() == 0) return;
  const auto lines = [dim](const at::Tensor& t) { return t.movedim(dim, -1); };
  Launch(cross, dtype_of(result))
      .out(lines(result))
      .in(lines(a))
      .in(lines(b))
      .run(result.numel() / 3, grain_for(20));
}

// Elements on and below diagonal `shift` of a rows x cols matrix.
int64_t lower_count(int64_t rows, int64_t cols, int64_t shift) {
  const int64_t begin = std::clamp<int64_t>(-shift - 1, 0, rows);  // the first row with an element
  const int64_t full = std::clamp<int64_t>(cols - shift - 1, 0, rows);  // the first that has all
  return (full - begin) * (begin + full + 1 + 2 * shift) / 2 + (rows - full) * cols;
}

at::Tensor triangle_indices(int64_t rows, int64_t cols, int64_t shift, bool upper,
                            std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                            std::optional<at::Device> device) {
  TORCH_CHECK(rows >= 0, "row must be non-negative, got", rows);
  TORCH_CHECK(cols >= 0, "col must be non-negative, got", cols);
  TORCH_CHECK(!layout || *layout == at::kStrided, "only support layout=torch.strided, got",
              layout.value_or(at::kStrided));
  const int64_t n =
      upper ? rows * cols - lower_count(rows, cols, shift - 1) : lower_count(rows, cols, shift);
  const at::Tensor out =
      at::empty({2, n}, at::TensorOptions().dtype(dtype.value_or(at::kLong)).device(device));
  if (n)
    Launch(triangle, dtype_of(out))
        .out(out)
        .ints({cols, shift, upper})
        .run(rows, grain_for(n / rows + 10));
  return out;
}

}  // namespace

at::Tensor TRN_OP(tril_indices)(int64_t row, int64_t col, int64_t offset,
                                std::optional<at::ScalarType> dtype,
                                std::optional<at::Layout> layout, std::optional<at::Device> device,
                                std::optional<bool>) {
  return triangle_indices(row, col, offset, false, dtype, layout, device);
}
at::Tensor TRN_OP(triu_indices)(int64_t row, int64_t col, int64_t offset,
                                std::optional<at::ScalarType> dtype,
                                std::optional<at::Layout> layout, std::optional<at::Device> device,
                                std::optional<bool>) {
  return triangle_indices(row, col, offset, true, dtype, layout, device);
}

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(cross_stub, &trn::ops::cross_kernel)
}  // namespace at::native
