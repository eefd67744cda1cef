// sort, topk, kthvalue, median, mode.
#include <ATen/MemoryOverlap.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include "ops/op.h"
#include "sort.structured.h"

namespace trn::ops {
namespace {

const Family sort_family("sort"), topk_family("topk"), select_family("select"), mode_family("mode"),
    radix_keys("radix_keys"), radix_count("radix_count"), radix_places("radix_places"),
    radix_move("radix_move"), radix_values("radix_values");

using Pair = std::tuple<at::Tensor&, at::Tensor&>;

// A tensor whose last dimension is the lines along dim; at most kMaxDims dimensions.
at::Tensor lines_along(const at::Tensor& t, int64_t dim) {
  if (t.dim() == 0) return t.view({1});
  const at::Tensor last = t.movedim(dim, -1);
  return last.dim() <= kMaxDims ? last : last.reshape({-1, last.size(-1)});
}

int64_t line_count(const at::Tensor& lines) { return lines.numel() / lines.size(-1); }

// Unsigned keys as wide as the elements.
DType key_type(const at::Tensor& t) {
  switch (t.element_size()) {
    case 1: return DType::u8;
    case 2: return DType::u16;
    case 4: return DType::u32;
    default: return DType::u64;
  }
}

// Sorts long lines with all threads. Digits in which a line's keys agree are skipped on the way.
void sort_long(const at::Tensor& in, bool descending, const at::Tensor& values,
               const at::Tensor& indices) {
  constexpr int64_t kBlock = 16384;
  const int64_t n = in.size(-1), lines = line_count(in), blocks = (n + kBlock - 1) / kBlock;
  const int64_t bytes = in.element_size();
  const auto options = in.options();
  const at::Tensor keys = at::empty({2, lines, n}, options.dtype(bytes == 1   ? at::kByte
                                                                 : bytes == 2 ? at::kShort
                                                                 : bytes == 4 ? at::kInt
                                                                              : at::kLong));
  const at::Tensor order = at::empty({2, lines, n}, options.dtype(at::kInt));
  const at::Tensor counts = at::empty({lines, blocks, 256}, options.dtype(at::kInt));
  const at::Tensor differ = at::empty({lines, blocks}, options.dtype(at::kLong));
  const DType type = dtype_of(in), key = key_type(in);
  const auto queue = [&](const Family& family, DType t, int64_t pass, int64_t work, int64_t cost) {
    Launch l(family, t);
    l.out(keys).out(order).out(counts).out(differ);
    if (&family == &radix_values) l.out(values).out(indices);
    if (&family == &radix_values || &family == &radix_keys) l.in(in);
    l.ints({kBlock, blocks, lines, descending ? -1 : 0, pass}).run(work, grain_for(cost));
  };
  queue(radix_keys, type, 0, lines * blocks, kBlock * 2);
  for (int64_t pass = 0; pass < bytes; ++pass) {
    queue(radix_count, key, pass, lines * blocks, kBlock);
    queue(radix_places, key, pass, lines, blocks * 256);
    queue(radix_move, key, pass, lines * blocks, kBlock * 4);
  }
  queue(radix_values, type, 0, lines * blocks, kBlock * 2);
}

// Lines that fit a thread's scratch are sorted by one thread each, if that keeps threads busy.
void sort_lines(const at::Tensor& in, bool descending, const at::Tensor& values,
                const at::Tensor& indices) {
  if (in.numel() == 0) return;
  const int64_t n = in.size(-1), lines = line_count(in);
  TORCH_CHECK(n < (int64_t{1} << 32), "sort: a dimension of ", n, " elements is too long for trn");
  constexpr int64_t kAlone = 32768, kManyLines = 8;
  const int64_t fits = kScratchBytes / (2 * (in.element_size() + 4)) - 1;
  if (n <= kAlone || (n <= fits && lines >= kManyLines)) {
    Launch(sort_family, dtype_of(in))
        .out(values)
        .out(indices)
        .in(in)
        .ints({descending})
        .run(lines, grain_for(n * (n <= 256 ? 12 : 4 * in.element_size() + 8)));
    return;
  }
  // Buffers take 24 bytes an element at most: many lines are sorted some at a time.
  constexpr int64_t kElements = int64_t{1} << 25;
  const int64_t some = std::max<int64_t>(1, kElements / n);
  if (lines <= some) return sort_long(in, descending, values, indices);
  if (in.dim() > 1 && in.size(0) > 1) {
    for (int64_t i = 0; i < in.size(0); ++i) sort_lines(in[i], descending, values[i], indices[i]);
  } else {
    sort_lines(in.squeeze(0), descending, values.squeeze(0), indices.squeeze(0));
  }
}

struct Sorted {
  at::Tensor values, indices;
};
Sorted sorted(const at::Tensor& lines, bool descending) {
  Sorted s{at::empty(lines.sizes(), lines.options()),
           at::empty(lines.sizes(), lines.options().dtype(at::kLong))};
  sort_lines(lines, descending, s.values, s.indices);
  return s;
}

// Whether kernels can write lines of t along dim in place.
bool writable(const at::Tensor& t) {
  return t.dim() <= kMaxDims && at::has_internal_overlap(t) == at::MemOverlap::No;
}

}  // namespace

TRN_IMPL_FUNC(sort_values_stable)
(const at::Tensor& self, std::optional<bool>, int64_t dim, bool descending,
 const at::Tensor& values, const at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  if (self.numel() == 0) return;
  if (writable(values) && writable(indices) && !values.is_alias_of(self)) {
    sort_lines(lines_along(self, dim), descending, lines_along(values, dim),
               lines_along(indices, dim));
    return;
  }
  const Sorted s = sorted(lines_along(self, dim), descending);
  const at::Tensor like = self.dim() ? self.movedim(dim, -1) : self;
  const auto place = [&](at::Tensor out, const at::Tensor& from) {
    (out.dim() ? out.movedim(dim, -1) : out).copy_(from.view(like.sizes()));
  };
  place(values, s.values);
  place(indices, s.indices);
}

TRN_IMPL_FUNC(topk_values)
(const at::Tensor& self, int64_t k, int64_t dim, bool largest, bool, const at::Tensor& values,
 const at::Tensor& indices) {
  if (values.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor in = lines_along(self, dim);
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes.back() = k;
  at::Tensor v, x;
  // A heap of a good part of the line costs more than sorting it.
  constexpr int64_t kHeap = kScratchBytes / 32;
  if (k <= kHeap && (k <= 256 || k <= in.size(-1) / 16)) {
    const bool in_place = values.is_contiguous() && indices.is_contiguous() &&
                          values.sizes() == c10::IntArrayRef(sizes);
    v = in_place ? values : at::empty(sizes, values.options());
    x = in_place ? indices : at::empty(sizes, indices.options());
    Launch(topk_family, dtype_of(in))
        .out(v)
        .out(x)
        .in(in)
        .ints({largest})
        .run(line_count(in), grain_for(in.size(-1) * 2 + k * 24));
  } else {
    const Sorted s = sorted(in, largest);
    v = s.values.narrow(-1, 0, k);
    x = s.indices.narrow(-1, 0, k);
  }
  const auto place = [&](const at::Tensor& out, const at::Tensor& from) {
    if (from.is_same(out)) return;
    at::Tensor target = out.dim() ? out.movedim(dim, -1) : out;
    target.copy_(from.reshape(target.sizes()));
  };
  place(values, v);
  place(indices, x);
}

namespace {

// The shape left of self when one element of each line along dim is taken.
std::vector<int64_t> taken_shape(const at::Tensor& self, int64_t dim, bool keepdim) {
  std::vector<int64_t> sizes = self.sizes().vec();
  if (sizes.empty()) return sizes;
  if (keepdim) sizes[dim] = 1;
  else sizes.erase(sizes.begin() + dim);
  return sizes;
}

// Checks and shapes the outputs; queues `fill(lines, value, index)` unless there is nothing to do.
template <class F>
Pair one_of_each_line(const char* name, const at::Tensor& self, int64_t dim, bool keepdim,
                      at::Tensor& values, at::Tensor& indices, F fill) {
  TORCH_CHECK(values.scalar_type() == self.scalar_type(), name, ": expected values of type ",
              self.scalar_type(), ", but got ", values.scalar_type());
  TORCH_CHECK(indices.scalar_type() == at::kLong, name, ": expected indices of type Long, but got ",
              indices.scalar_type());
  dim = at::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK_INDEX(self.dim() == 0 || self.size(dim) > 0, name, "(): Expected reduction dim ", dim,
                    " to have non-zero size.");
  const std::vector<int64_t> shape = taken_shape(self, dim, keepdim);
  at::native::resize_output(values, shape);
  at::native::resize_output(indices, shape);
  if (self.numel() == 0) return {values, indices};
  const at::Tensor lines = lines_along(self, dim);
  std::vector<int64_t> sizes = lines.sizes().vec();
  sizes.back() = 1;
  const at::Tensor v = at::empty(sizes, values.options()), x = at::empty(sizes, indices.options());
  fill(lines, v, x);
  values.copy_(v.view(shape));
  indices.copy_(x.view(shape));
  return {values, indices};
}

enum Rank : int64_t { kGiven, kMedian, kNanMedian };  // as in kernels/select.cpp
Pair select_rank(const char* name, const at::Tensor& self, int64_t dim, bool keepdim, Rank how,
                 int64_t rank, at::Tensor& values, at::Tensor& indices) {
  return one_of_each_line(name, self, dim, keepdim, values, indices,
                          [&](const at::Tensor& lines, const at::Tensor& v, const at::Tensor& x) {
                            Launch(select_family, dtype_of(lines))
                                .out(v)
                                .out(x)
                                .in(lines)
                                .ints({how, rank})
                                .run(line_count(lines),
                                     grain_for(lines.size(-1) * 2 * (self.element_size() + 1)));
                          });
}

at::Tensor median_of_all(const at::Tensor& self, Rank how) {
  if (self.numel() == 0)
    return at::full({}, NAN, self.options().dtype(at::kFloat)).to(self.scalar_type());
  at::Tensor value = at::empty({0}, self.options()),
             index = at::empty({0}, self.options().dtype(at::kLong));
  select_rank("median", self.reshape({-1}), 0, false, how, 0, value, index);
  return value;
}

}  // namespace

Pair TRN_OP(kthvalue_values)(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim,
                             at::Tensor& values, at::Tensor& indices) {
  const int64_t wrapped = at::maybe_wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.size(wrapped) : 1;
  TORCH_CHECK_INDEX(n > 0, "kthvalue(): Expected reduction dim ", wrapped,
                    " to have non-zero size.");
  TORCH_CHECK(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension ",
              wrapped);
  at::assert_no_overlap(self, values);
  return select_rank("kthvalue", self, dim, keepdim, kGiven, k - 1, values, indices);
}

Pair TRN_OP(median_dim_values)(const at::Tensor& self, int64_t dim, bool keepdim,
                               at::Tensor& values, at::Tensor& indices) {
  return select_rank("median", self, dim, keepdim, kMedian, 0, values, indices);
}
Pair TRN_OP(nanmedian_dim_values)(const at::Tensor& self, int64_t dim, bool keepdim,
                                  at::Tensor& values, at::Tensor& indices) {
  return select_rank("nanmedian", self, dim, keepdim, kNanMedian, 0, values, indices);
}
at::Tensor TRN_OP(median)(const at::Tensor& self) { return median_of_all(self, kMedian); }
at::Tensor TRN_OP(nanmedian)(const at::Tensor& self) { return median_of_all(self, kNanMedian); }

Pair TRN_OP(mode_values)(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                         at::Tensor& indices) {
  return one_of_each_line("mode", self, dim, keepdim, values, indices,
                          [&](const at::Tensor& lines, const at::Tensor& v, const at::Tensor& x) {
                            const Sorted s = sorted(lines, false);
                            Launch(mode_family, dtype_of(lines))
                                .out(v)
                                .out(x)
                                .in(s.values)
                                .in(s.indices)
                                .run(line_count(lines), grain_for(lines.size(-1) * 2));
                          });
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(mode)(const at::Tensor& self, int64_t dim, bool keepdim) {
  at::Tensor values = at::empty({0}, self.options()),
             indices = at::empty({0}, self.options().dtype(at::kLong));
  ops::mode_values(self, dim, keepdim, values, indices);
  return {values, indices};
}

}  // namespace trn::ops
