// What a mask selects: nonzero, count_nonzero, masked_select, masked_scatter.
#include <ATen/ExpandUtils.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/sum.h>

#include "ops/index.h"

namespace trn::ops {
namespace {

const Family count_chunks("count_chunks"), nonzero_family("nonzero"),
    masked_select_family("masked_select"), masked_scatter_family("masked_scatter");

constexpr int64_t kChunk = 4096;  // elements counted together: short enough to share out evenly

at::Tensor flags_of(const at::Tensor& t) { return t.scalar_type() == at::kBool ? t : at::ne(t, 0); }

// Running counts of true elements at the ends of chunks.
at::Tensor chunk_ends(const at::Tensor& flags) {
  const int64_t chunks = (flags.numel() + kChunk - 1) / kChunk;
  const at::Tensor counts = at::empty({chunks}, flags.options().dtype(at::kLong));
  Launch(count_chunks, DType::b8)
      .out(counts)
      .in(flags)
      .ints({kChunk})
      .run(chunks, grain_for(kChunk));
  return chunks == 1 ? counts : at::cumsum(counts, 0);
}

void coordinates(const at::Tensor& rows, const at::Tensor& flags, const at::Tensor& ends) {
  Launch(nonzero_family, DType::b8)
      .out(rows)
      .in(flags)
      .in(ends)
      .ints({kChunk, rows.size(0)})
      .run(ends.numel(), grain_for(kChunk * 4));
}

}  // namespace

at::Tensor& TRN_OP(nonzero_out)(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == at::kLong, "Expected object of scalar type ", at::kLong,
              " as out, but got ", out.scalar_type());
  TORCH_CHECK(out.device() == self.device(),
              "expected self and out to be on the same device, but "
              "got out on ",
              out.device(), " and self on ", self.device());
  if (self.numel() == 0) {
    at::native::resize_output(out, {0, self.dim()});
    return out;
  }
  const at::Tensor flags = flags_of(self);
  const at::Tensor ends = chunk_ends(flags);
  // The size of the result is in the data: this waits, as it does on CUDA.
  at::native::resize_output(out, {ends[-1].item<int64_t>(), self.dim()});
  if (out.numel()) coordinates(out, flags, ends);
  return out;
}

// A dimension's coordinates lie together, as PyTorch's other devices leave them: tracers count on
// it.
at::Tensor TRN_OP(nonzero)(const at::Tensor& self) {
  const auto options = self.options().dtype(at::kLong);
  if (self.numel() == 0) return at::empty({self.dim(), 0}, options).t();
  const at::Tensor flags = flags_of(self);
  const at::Tensor ends = chunk_ends(flags);
  const at::Tensor out = at::empty({self.dim(), ends[-1].item<int64_t>()}, options).t();
  if (out.numel()) coordinates(out, flags, ends);
  return out;
}

// Of a size that the caller knows, so nothing waits.
at::Tensor& TRN_OP(nonzero_static_out)(const at::Tensor& self, int64_t size, int64_t fill_value,
                                       at::Tensor& out) {
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  TORCH_CHECK(out.scalar_type() == at::kLong,
              "nonzero_static: Expected out tensor to have scalar type ", at::kLong, " but got ",
              out.scalar_type());
  at::native::resize_output(out, {size, self.dim()});
  out.fill_(fill_value);
  if (self.numel() == 0 || out.numel() == 0) return out;
  const at::Tensor flags = flags_of(self);
  coordinates(out, flags, chunk_ends(flags));
  return out;
}

at::Tensor TRN_OP(nonzero_static)(const at::Tensor& self, int64_t size, int64_t fill_value) {
  at::Tensor out = at::empty({0}, self.options().dtype(at::kLong));
  return ops::nonzero_static_out(self, size, fill_value, out);
}

at::Tensor TRN_OP(count_nonzero_dim_IntList)(const at::Tensor& self, at::IntArrayRef dim) {
  return at::sum(flags_of(self), dim, /*keepdim=*/false, at::kLong);
}

at::Tensor& TRN_OP(masked_select_out)(const at::Tensor& self, const at::Tensor& mask,
                                      at::Tensor& out) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_select: expected BoolTensor for mask");
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "masked_select(): self and result must have the same scalar type");
  at::assert_no_internal_overlap(out);
  at::assert_no_overlap(out, self);
  at::assert_no_overlap(out, mask);
  const auto [flags, values] = at::expand_outplace(mask, self);
  if (values->numel() == 0) {
    at::native::resize_output(out, {0});
    return out;
  }
  const at::Tensor ends = chunk_ends(*flags);
  const int64_t n = ends[-1].item<int64_t>();  // waits, as it does on CUDA
  at::native::resize_output(out, {n});
  if (n == 0) return out;
  const at::Tensor dense = out.is_contiguous() ? out : at::empty({n}, out.options());
  Launch(masked_select_family, move_type(self.scalar_type()))
      .out(dense)
      .in(*flags)
      .in(*values)
      .in(ends)
      .ints({kChunk})
      .run(ends.numel(), grain_for(kChunk * 4));
  if (!dense.is_same(out)) out.copy_(dense);
  return out;
}

at::Tensor TRN_OP(masked_select)(const at::Tensor& self, const at::Tensor& mask) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::masked_select_out(self, mask, out);
}

at::Tensor& TRN_OP(masked_scatter_)(at::Tensor& self, const at::Tensor& mask,
                                    const at::Tensor& source) {
  TORCH_CHECK(self.scalar_type() == source.scalar_type(),
              "masked_scatter_: expected self and source to have same dtypes but got ",
              self.scalar_type(), " and ", source.scalar_type());
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_scatter_ only supports boolean masks, but got mask with dtype ",
              mask.scalar_type());
  if (self.numel() == 0) return self;
  const at::Tensor flags = mask.expand_as(self);
  const at::Tensor ends = chunk_ends(flags), values = source.contiguous();
  Launch(masked_scatter_family, move_type(self.scalar_type()))
      .out(self)
      .in(flags)
      .in(values)
      .in(ends)
      .ints({kChunk})
      .may_fault()
      .run(ends.numel(), grain_for(kChunk * 4));
  return self;
}

}  // namespace trn::ops
