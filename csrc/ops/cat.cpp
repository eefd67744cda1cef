// Concatenation: parts whose rows are dense go in one launch, any others are copied one by one.
#include <ATen/WrapDimUtils.h>

#include <algorithm>
#include <numeric>

#include "cat.structured.h"
#include "ops/launch.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family cat_family("cat");

// The dimensions of a tensor in the order in which they lie in memory, outermost first.
c10::SmallVector<int64_t, kMaxDims> order_in_memory(const at::Tensor& t) {
  c10::SmallVector<int64_t, kMaxDims> order(t.dim());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return t.stride(a) > t.stride(b); });
  return order;
}

// Whether a tensor lies dense in this order of its dimensions.
bool is_dense(const at::Tensor& t, c10::IntArrayRef order) {
  int64_t expected = 1;
  for (size_t i = order.size(); i-- > 0;) {
    if (t.size(order[i]) == 1) continue;
    if (t.stride(order[i]) != expected) return false;
    expected *= t.size(order[i]);
  }
  return true;
}

void add_matrix(Launch& l, bool output, const at::Tensor& t, int64_t begin, int64_t rows,
                int64_t columns, int64_t stride) {
  Operand& o = l.next(output, t.device().index());
  void* data = output ? t.mutable_data_ptr() : const_cast<void*>(t.const_data_ptr());
  o.data = static_cast<char*>(data) + begin * t.element_size();
  o.dtype = dtype_of(t);
  o.ndim = 2;
  o.sizes[0] = rows, o.sizes[1] = columns;
  o.strides[0] = stride, o.strides[1] = 1;
}

// Joins matrices [rows, n] for the parts' own n into rows of `width` elements. False, and nothing
// done, where parts are of another type or not dense, or so narrow that a copy of each is faster.
bool join_rows(c10::ArrayRef<at::Tensor> parts, int64_t dim, const at::Tensor& out) {
  constexpr int64_t kNarrow = 64;  // bytes
  const auto order = order_in_memory(out);
  if (!is_dense(out, order) || dtype_size(dtype_of(out)) != out.element_size()) return false;
  const auto place = std::find(order.begin(), order.end(), dim);
  int64_t rows = 1, inner = 1;
  for (auto it = order.begin(); it != order.end(); ++it)
    if (it != place) (it < place ? rows : inner) *= out.size(*it);
  for (const at::Tensor& t : parts)
    if (t.scalar_type() != out.scalar_type() || t.is_conj() != out.is_conj() ||
        t.is_neg() != out.is_neg() || !is_dense(t, order) ||
        (rows > 1 && t.size(dim) * inner * t.element_size() < kNarrow))
      return false;
  const int64_t width = out.size(dim) * inner;
  for (int64_t begin = 0; !parts.empty();) {
    const auto group = parts.slice(0, std::min<size_t>(parts.size(), kMaxOperands - 1));
    parts = parts.slice(group.size());
    int64_t columns = 0;
    for (const at::Tensor& t : group) columns += t.size(dim) * inner;
    Launch l(cat_family, DType::u8);
    add_matrix(l, true, out, begin, rows, columns, width);
    for (const at::Tensor& t : group)
      add_matrix(l, false, t, 0, rows, t.size(dim) * inner, t.size(dim) * inner);
    l.run(rows * columns, grain_for(1));
    begin += columns;
  }
  return true;
}

}  // namespace

TRN_IMPL_FUNC(cat_out)
(const at::ITensorListRef& tensors, int64_t dim, int64_t, bool, bool, bool, at::MemoryFormat,
 const at::Tensor& out) {
  if (out.numel() == 0) return;
  c10::SmallVector<at::Tensor, kMaxOperands> parts;
  // Empty parts add nothing; empty vectors, which join anything, are among them.
  for (const at::Tensor& t : tensors)
    if (t.numel() != 0) parts.push_back(t);
  if (join_rows(parts, dim, out)) return;
  int64_t at = 0;
  for (const at::Tensor& t : parts) {
    out.narrow(dim, at, t.size(dim)).copy_(t);
    at += t.size(dim);
  }
}

}  // namespace trn::ops
