// segment_reduce by lengths and by offsets, and its gradient.
#include <ATen/OpMathType.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReductionType.h>
#include <ATen/native/SegmentReduce.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family segment_reduce("segment_reduce"), segment_reduce_backward("segment_reduce_backward");

using at::native::ReductionType;
using Initial = std::optional<at::Scalar>;

// The kernel's number of a reduction, and the value that one starts from unless another is given.
std::pair<int64_t, double> reduction_of(ReductionType type, const Initial& initial) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto start = [&](double otherwise) { return initial ? initial->toDouble() : otherwise; };
  switch (type) {
    case ReductionType::MAX: return {0, start(-kInfinity)};
    case ReductionType::MEAN: return {1, start(0)};
    case ReductionType::MIN: return {2, start(kInfinity)};
    case ReductionType::SUM: return {3, start(0)};
    case ReductionType::PROD: return {4, start(1)};
  }
  TORCH_CHECK(false, "unknown reduction");
}

// Where segments of these lengths begin and end: one more than there are lengths.
at::Tensor offsets_of(const at::Tensor& lengths) {
  std::vector<int64_t> first = lengths.sizes().vec();
  first.back() = 1;
  const at::Tensor ends = lengths.to(at::kLong).cumsum(-1);
  return at::cat({at::zeros(first, ends.options()), ends}, -1);
}

// A tensor as [outer, along the axis, inner], dense.
at::Tensor around(const at::Tensor& t, int64_t axis, at::ScalarType type) {
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < t.dim(); ++d) (d < axis ? outer : inner) *= d == axis ? 1 : t.size(d);
  return t.to(type).contiguous().view({outer, t.size(axis), inner});
}

at::Tensor forward(ReductionType reduction, const at::Tensor& data, const at::Tensor& offsets,
                   int64_t axis, const Initial& initial) {
  const at::ScalarType type = at::toOpMathType(data.scalar_type());
  std::vector<int64_t> sizes = data.sizes().vec();
  sizes[axis] = offsets.size(-1) - 1;
  const at::Tensor out = at::empty(sizes, data.options().dtype(type).memory_format(std::nullopt));
  const at::Tensor x = around(data, axis, type), y = around(out, axis, type);
  const auto [how, start] = reduction_of(reduction, initial);
  if (out.numel())
    Launch(segment_reduce, dtype_of(type))
        .out(y)
        .in(x)
        .in(offsets.to(at::kLong).contiguous().view({y.size(0), -1}))
        .ints({how, initial.has_value()})
        .reals({start})
        .may_fault()
        .run(y.size(0) * y.size(1), grain_for(1 + x.size(1) / y.size(1) * x.size(2) * 2));
  return out.to(data.scalar_type());
}

at::Tensor backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& data,
                    ReductionType reduction, const at::Tensor& offsets, int64_t axis,
                    const Initial& initial) {
  const at::ScalarType type = at::toOpMathType(data.scalar_type());
  const at::Tensor out =
      at::zeros(data.sizes(), data.options().dtype(type).memory_format(std::nullopt));
  const at::Tensor x = around(data, axis, type), y = around(output, axis, type);
  const auto [how, start] = reduction_of(reduction, initial);
  if (y.numel() && x.numel())
    Launch(segment_reduce_backward, dtype_of(type))
        .out(out.view(x.sizes()))
        .in(around(grad, axis, type))
        .in(y)
        .in(x)
        .in(offsets.to(at::kLong).contiguous().view({y.size(0), -1}))
        .ints({how})
        .reals({start})
        .run(y.size(0) * y.size(1), grain_for(1 + x.size(1) / y.size(1) * x.size(2) * 4));
  return out.to(data.scalar_type());
}

at::Tensor by_lengths(ReductionType reduction, const at::Tensor& data, const at::Tensor& lengths,
                      int64_t axis, const Initial& initial) {
  return forward(reduction, data, offsets_of(lengths), axis, initial);
}
at::Tensor by_lengths_backward(const at::Tensor& grad, const at::Tensor& output,
                               const at::Tensor& data, ReductionType reduction,
                               const at::Tensor& lengths, int64_t axis, const Initial& initial) {
  return backward(grad, output, data, reduction, offsets_of(lengths), axis, initial);
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(_segment_reduce_lengths_stub, &by_lengths)
REGISTER_PRIVATEUSE1_DISPATCH(_segment_reduce_offsets_stub, &forward)
REGISTER_PRIVATEUSE1_DISPATCH(_segment_reduce_lengths_backward_stub, &by_lengths_backward)
REGISTER_PRIVATEUSE1_DISPATCH(_segment_reduce_offsets_backward_stub, &backward)
}  // namespace at::native
