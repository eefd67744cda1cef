// Sequences, triangles, rolls.
#include <ATen/AccumulateType.h>
#include <ATen/Dispatch.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/diagonal.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>

#include <cmath>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "shape.structured.h"

namespace trn::ops {
namespace {

const Family arange_family("arange"), linspace_family("linspace"), triangle_family("triangle"),
    roll_family("roll"), repeat_family("repeat_interleave");

void sequence(at::Tensor& out, const at::Scalar& start, const at::Scalar& step) {
  if (out.numel() == 0) return;
  const bool integral = at::isIntegralType(out.scalar_type(), false);
  Launch l(arange_family, integral ? DType::i64 : DType::f64);
  l.out(out);
  if (integral) l.ints({start.toLong(), step.toLong()});
  else l.reals({start.toDouble(), step.toDouble()});
  l.run(out.numel(), grain_for(2));
}

int64_t steps_between(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step,
                      at::ScalarType type) {
  TORCH_CHECK(step.toDouble() != 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(start.toDouble()) && std::isfinite(end.toDouble()),
              "unsupported range: ", start.toDouble(), " -> ", end.toDouble());
  TORCH_CHECK((step.toDouble() > 0 && end.toDouble() >= start.toDouble()) ||
                  (step.toDouble() < 0 && end.toDouble() <= start.toDouble()),
              "upper bound and lower bound inconsistent with step sign");
  if (type == at::kLong) {
    TORCH_CHECK_VALUE(step.toLong() != 0, "step must be nonzero");
    const int64_t sign = step.toLong() > 0 ? 1 : -1;
    return (end.toLong() - start.toLong() + step.toLong() - sign) / step.toLong();
  }
  return static_cast<int64_t>(std::ceil((end.toDouble() - start.toDouble()) / step.toDouble()));
}

template <class F>
void into(at::Tensor& out, F f) {
  at::Tensor dense = out.is_contiguous() ? out : at::empty_like(out, at::MemoryFormat::Contiguous);
  f(dense);
  if (!dense.is_same(out)) out.copy_(dense);
}

at::Tensor& spaced(const at::Scalar& start, const at::Scalar& end, int64_t steps,
                   std::optional<double> base, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  if (out.numel() != steps) out.resize_({steps});
  if (steps == 0) return out;
  auto a = start.toComplexDouble(), b = end.toComplexDouble();
  if (c10::isIntegralType(out.scalar_type(), true) && !(base && steps == 1)) {
    a = std::trunc(a.real());  // of integers, both ends are made integers first
    b = std::trunc(b.real());
  }
  into(out, [&](at::Tensor& dense) {
    Launch(linspace_family, out.is_complex() ? DType::c128 : DType::f64)
        .out(dense)
        .reals({a.real(), a.imag(), b.real(), b.imag(), base.value_or(0)})
        .ints({base.has_value()})
        .run(steps, grain_for(base ? 40 : 4));
  });
  return out;
}

void keep_triangle(const at::Tensor& self, int64_t diagonal, bool upper, const at::Tensor& out) {
  if (self.numel() == 0) return;
  const auto matrices = [](const at::Tensor& t) { return t.reshape({-1, t.size(-2), t.size(-1)}); };
  at::Tensor target = out;
  into(target, [&](at::Tensor& dense) {
    const at::Tensor dst = matrices(dense);
    Launch(triangle_family, move_type(self.scalar_type()))
        .out(dst)
        .in(matrices(self))
        .ints({diagonal, upper})
        .run(dst.size(0) * dst.size(1), grain_for(dst.size(2)));
  });
}

}  // namespace

at::Tensor& TRN_OP(arange_start_out)(const at::Scalar& start, const at::Scalar& end,
                                     const at::Scalar& step, at::Tensor& out) {
  const int64_t n = steps_between(start, end, step, out.scalar_type());
  TORCH_CHECK(n >= 0, "invalid size, possible overflow?");
  if (out.numel() != n) {
    if (out.numel() > 0)
      TORCH_WARN("The number of elements in the out tensor of shape ", out.sizes(), " is ",
                 out.numel(), " which does not match the computed number of elements ", n,
                 ". Note that this may occur as a result of rounding error. The out tensor will be "
                 "resized to a tensor of shape (",
                 n, ",).");
    out.resize_({n});
  }
  into(out, [&](at::Tensor& dense) { sequence(dense, start, step); });
  return out;
}

at::Tensor& TRN_OP(range_out)(const at::Scalar& start, const at::Scalar& end,
                              const at::Scalar& step, at::Tensor& out) {
  steps_between(start, end, step, at::kDouble);
  const double n = std::floor((end.toDouble() - start.toDouble()) / step.toDouble()) + 1;
  out.resize_({static_cast<int64_t>(n)});
  into(out, [&](at::Tensor& dense) { sequence(dense, start, step); });
  return out;
}

at::Tensor& TRN_OP(linspace_out)(const at::Scalar& start, const at::Scalar& end, int64_t steps,
                                 at::Tensor& out) {
  return spaced(start, end, steps, std::nullopt, out);
}
at::Tensor& TRN_OP(logspace_out)(const at::Scalar& start, const at::Scalar& end, int64_t steps,
                                 double base, at::Tensor& out) {
  return spaced(start, end, steps, base, out);
}

at::Tensor& TRN_OP(eye_m_out)(int64_t n, int64_t m, at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be greater or equal to 0, got ", n);
  TORCH_CHECK(m >= 0, "m must be greater or equal to 0, got ", m);
  out.resize_({n, m});
  out.zero_();
  out.diagonal().fill_(1);
  return out;
}
at::Tensor& TRN_OP(eye_out)(int64_t n, at::Tensor& out) { return ops::eye_m_out(n, n, out); }

TRN_IMPL_FUNC(tril_out)(const at::Tensor& self, int64_t diagonal, const at::Tensor& out) {
  keep_triangle(self, diagonal, false, out);
}
TRN_IMPL_FUNC(triu_out)(const at::Tensor& self, int64_t diagonal, const at::Tensor& out) {
  keep_triangle(self, diagonal, true, out);
}

at::Tensor TRN_OP(roll)(const at::Tensor& self, at::IntArrayRef shifts, at::IntArrayRef dims) {
  TORCH_CHECK(!shifts.empty(), "`shifts` required");
  if (dims.empty() && shifts.size() == 1)
    return ops::roll(self.contiguous().view({-1}), shifts, 0).view(self.sizes());
  TORCH_CHECK(shifts.size() == dims.size(),
              "shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  at::Tensor in = self;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (self.numel() == 0) break;
    const int64_t dim = at::maybe_wrap_dim(dims[i], self.dim());
    const int64_t size = self.size(dim), shift = ((shifts[i] % size) + size) % size;
    const at::Tensor out = at::empty_like(in, at::MemoryFormat::Contiguous);
    const at::Tensor src = three_way(in, dim), dst = three_way(out, dim);
    Launch(roll_family, move_type(self.scalar_type()))
        .out(dst)
        .in(src)
        .ints({shift})
        .run(src.size(0) * size, grain_for(src.size(2)));
    in = out;
  }
  return in.is_same(self) ? self.clone() : in;
}

at::Tensor TRN_OP(trace)(const at::Tensor& self) {
  TORCH_CHECK(self.dim() == 2, "trace: expected a matrix, but got tensor with dim ", self.dim());
  return self.diagonal().sum();
}

at::Tensor TRN_OP(repeat_interleave_Tensor)(const at::Tensor& repeats,
                                            std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  TORCH_CHECK(repeats.scalar_type() == at::kLong || repeats.scalar_type() == at::kInt,
              "repeats has to be Long or Int tensor");
  const auto options = repeats.options();
  if (repeats.size(0) == 0) return at::empty({0}, options);
  const at::Tensor ends = at::cumsum(repeats, 0, at::kLong);
  const int64_t total = output_size ? *output_size : ends[-1].item<int64_t>();
  at::Tensor out = at::empty({total}, options.dtype(at::kLong));
  if (total) Launch(repeat_family, DType::i64).out(out).in(ends).run(ends.numel(), grain_for(8));
  return out.to(repeats.scalar_type());
}

}  // namespace trn::ops
