// Negative log likelihood of class indices.
#include "blocks.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

template <class A>
TRN_INLINE A get(const Operand& o, int64_t offset) {
  A x;
  convert_run(&x, DTypeOf<A>::value, 1, o.as<char>() + offset * dtype_size(o.dtype), o.dtype, 1, 1);
  return x;
}

TRN_INLINE int64_t target_of(const Operand& t, int64_t i) {
  return t.dtype == DType::u8 ? t.as<uint8_t>()[i * t.strides[0]]
                              : t.as<int64_t>()[i * t.strides[0]];
}

// operands: losses [n], weights [n] of the kernel's type; input [n, classes], target [n], weight
// [classes] or absent. ints[0]: ignore_index. Items are rows.
template <class A>
void nll_loss(const Call& call, const Range& range) {
  const Operand &losses = call.operand[0], &weights = call.operand[1], &in = call.operand[2],
                &target = call.operand[3], &weight = call.operand[4];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t t = target_of(target, i);
    A loss = 0, w = 0;
    if (t != call.ints[0]) {
      if (t < 0 || t >= in.sizes[1]) {
        range.fault->report(FaultKind::index_out_of_range, t, in.sizes[1]);
      } else {
        w = weight.absent() ? A(1) : get<A>(weight, t * weight.strides[0]);
        loss = -w * get<A>(in, i * in.strides[0] + t * in.strides[1]);
      }
    }
    losses.as<A>()[i] = loss;
    weights.as<A>()[i] = w;
  }
}

// operands: grad_input [n, classes] (zeroed); grad [n] or [1], target [n], weight or absent,
// total_weight or absent (present: divide by it). ints[0]: ignore_index.
template <class A>
void nll_loss_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &target = call.operand[2],
                &weight = call.operand[3], &total = call.operand[4];
  const A scale = total.absent() ? A(1) : A(1) / get<A>(total, 0);
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t t = target_of(target, i);
    if (t == call.ints[0] || t < 0 || t >= out.sizes[1]) continue;
    const A w = weight.absent() ? A(1) : get<A>(weight, t * weight.strides[0]);
    const A g = -w * scale * get<A>(grad, grad.sizes[0] == 1 ? 0 : i * grad.strides[0]);
    convert_run(out.as<char>() + (i * out.strides[0] + t * out.strides[1]) * dtype_size(out.dtype),
                out.dtype, 1, &g, DTypeOf<A>::value, 1, 1);
  }
}

TRN_REGISTER_REALS(nll_loss);
TRN_REGISTER_REALS(nll_loss_backward);

}  // namespace
}  // namespace trn
