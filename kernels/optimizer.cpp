// Optimizer steps in one pass over memory, and GradScaler's two operators.
//
// Scalars that live on the device (the step count, the loss scale, the flag of a non-finite
// gradient) are operands of one element; a set flag makes the step do nothing.
#include "math.h"
#include "rows.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

TRN_INLINE double scalar_of(const Operand& o, double otherwise) {
  return o.absent() ? otherwise : get(o, 0);
}

// n elements of a dense operand as A, in place where they are that already.
template <class A>
struct Lane {
  const Operand& o;
  A* buffer;
  A* p = nullptr;
  bool staged = false;
  int64_t at = 0, n = 0;
  A* load(int64_t i, int64_t count) {
    at = i;
    n = count;
    staged = o.dtype != DTypeOf<A>::value;
    char* from = o.as<char>() + i * dtype_size(o.dtype);
    if (staged) convert_run(buffer, DTypeOf<A>::value, 1, from, o.dtype, 1, n);
    return p = staged ? buffer : reinterpret_cast<A*>(from);
  }
  void store() {
    if (staged)
      convert_run(o.as<char>() + at * dtype_size(o.dtype), o.dtype, 1, p, DTypeOf<A>::value, 1, n);
  }
};

// operands: param, exp_avg, exp_avg_sq, max_exp_avg_sq (or absent), grad (all dense, one size, any
// float type); step, lr (or absent), grad_scale (or absent), found_inf (or absent).
// reals: lr, beta1, beta2, weight_decay, eps. ints: 1 for AdamW's decay, 1 to maximise.
// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
template <class A>
void adam(const Call& call, const Range& range) {
  if (scalar_of(call.operand[8], 0) != 0) return;
  A* scratch = reinterpret_cast<A*>(range.scratch);
  Lane<A> param{call.operand[0], scratch}, avg{call.operand[1], scratch + kBlock},
      square{call.operand[2], scratch + 2 * kBlock}, most{call.operand[3], scratch + 3 * kBlock},
      grad{call.operand[4], scratch + 4 * kBlock};
  const double step = scalar_of(call.operand[5], 1), lr = scalar_of(call.operand[6], call.reals[0]);
  const double beta1 = call.reals[1], beta2 = call.reals[2];
  const A inv_scale = static_cast<A>(1 / scalar_of(call.operand[7], 1));
  const A correction1 = static_cast<A>(1 - __builtin_pow(beta1, step));
  const A over_root2 = static_cast<A>(1 / __builtin_sqrt(1 - __builtin_pow(beta2, step)));
  const A decay = static_cast<A>(call.reals[3]), eps = static_cast<A>(call.reals[4]);
  const bool decoupled = call.ints[0], amsgrad = !call.operand[3].absent();
  const A sign = (call.ints[1] ? A(-1) : A(1)) * inv_scale;
  const A shrink = static_cast<A>(1 - lr * call.reals[3]), size = static_cast<A>(lr) / correction1;
  const A b1 = static_cast<A>(beta1), b2 = static_cast<A>(beta2);
  const A c1 = static_cast<A>(1 - beta1), c2 = static_cast<A>(1 - beta2);
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = range.end - i < kBlock ? range.end - i : kBlock;
    A *p = param.load(i, n), *m = avg.load(i, n), *v = square.load(i, n), *g = grad.load(i, n);
    A* top = amsgrad ? most.load(i, n) : v;
    _Pragma("GCC ivdep") for (int64_t k = 0; k < n; ++k) {
      A d = g[k] * sign;
      A x = p[k];
      if (decoupled) x *= shrink;
      else d += x * decay;
      m[k] = b1 * m[k] + c1 * d;
      v[k] = b2 * v[k] + c2 * d * d;
      A base = v[k];
      if (amsgrad) base = top[k] = top[k] < base ? base : top[k];
      p[k] = x - size * m[k] / (m_sqrt(base) * over_root2 + eps);
    }
    param.store();
    avg.store();
    square.store();
    if (amsgrad) most.store();
  }
}

// operands: param, momentum_buffer (or absent), grad; lr, grad_scale, found_inf (or absent).
// reals: lr, weight_decay, momentum, dampening. ints: nesterov, maximise, first step.
template <class A>
void sgd(const Call& call, const Range& range) {
  if (scalar_of(call.operand[5], 0) != 0) return;
  A* scratch = reinterpret_cast<A*>(range.scratch);
  Lane<A> param{call.operand[0], scratch}, buffer{call.operand[1], scratch + kBlock},
      grad{call.operand[2], scratch + 2 * kBlock};
  const A lr = static_cast<A>(scalar_of(call.operand[3], call.reals[0]));
  const A sign = (call.ints[1] ? A(-1) : A(1)) / static_cast<A>(scalar_of(call.operand[4], 1));
  const A decay = static_cast<A>(call.reals[1]), momentum = static_cast<A>(call.reals[2]);
  const A take = static_cast<A>(1 - call.reals[3]);
  const bool has_buffer = !call.operand[1].absent(), nesterov = call.ints[0], first = call.ints[2];
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = range.end - i < kBlock ? range.end - i : kBlock;
    A *p = param.load(i, n), *g = grad.load(i, n);
    A* b = has_buffer ? buffer.load(i, n) : p;
    _Pragma("GCC ivdep") for (int64_t k = 0; k < n; ++k) {
      A d = g[k] * sign + p[k] * decay;
      if (has_buffer) {
        b[k] = first ? d : momentum * b[k] + take * d;
        d = nesterov ? d + momentum * b[k] : b[k];
      }
      p[k] -= lr * d;
    }
    param.store();
    if (has_buffer) buffer.store();
  }
}

// operands: param, state_sum, grad; step, lr (or absent), grad_scale, found_inf (or absent).
// reals: lr, lr_decay, weight_decay, eps. ints: maximise. Duchi, Hazan and Singer, "Adaptive
// subgradient methods for online learning and stochastic optimization", 2011.
template <class A>
void adagrad(const Call& call, const Range& range) {
  if (scalar_of(call.operand[6], 0) != 0) return;
  A* scratch = reinterpret_cast<A*>(range.scratch);
  Lane<A> param{call.operand[0], scratch}, sum{call.operand[1], scratch + kBlock},
      grad{call.operand[2], scratch + 2 * kBlock};
  const double step = scalar_of(call.operand[3], 1), lr = scalar_of(call.operand[4], call.reals[0]);
  const A size = static_cast<A>(lr / (1 + (step - 1) * call.reals[1]));
  const A sign = (call.ints[0] ? A(-1) : A(1)) / static_cast<A>(scalar_of(call.operand[5], 1));
  const A decay = static_cast<A>(call.reals[2]), eps = static_cast<A>(call.reals[3]);
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = range.end - i < kBlock ? range.end - i : kBlock;
    A *p = param.load(i, n), *s = sum.load(i, n), *g = grad.load(i, n);
    _Pragma("GCC ivdep") for (int64_t k = 0; k < n; ++k) {
      const A d = g[k] * sign + p[k] * decay;
      s[k] += d * d;
      p[k] -= size * d / (m_sqrt(s[k]) + eps);
    }
    param.store();
    sum.store();
  }
}

// grad *= inv_scale; found_inf = 1 if any product is not finite. operands: grad (dense), found_inf
// (f32); inv_scale.
template <class A>
void unscale(const Call& call, const Range& range) {
  Lane<A> grad{call.operand[0], reinterpret_cast<A*>(range.scratch)};
  const A inv = static_cast<A>(scalar_of(call.operand[2], 1));
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = range.end - i < kBlock ? range.end - i : kBlock;
    A* g = grad.load(i, n);
    int64_t bad = 0;
    for (int64_t k = 0; k < n; ++k) {
      bad += !(g[k] - g[k] == 0);
      g[k] *= inv;
    }
    grad.store();
    // Several threads may write it; all write the same.
    const float one = 1;
    if (bad) __atomic_store(call.operand[1].as<float>(), &one, __ATOMIC_RELAXED);
  }
}

// operands: scale (f32), growth_tracker (i32); found_inf. reals: growth, backoff. ints: interval.
void update_scale(const Call& call, const Range&) {
  float* scale = call.operand[0].as<float>();
  int32_t* tracker = call.operand[1].as<int32_t>();
  if (*call.operand[2].as<float>() != 0) {
    *scale *= static_cast<float>(call.reals[1]);
    *tracker = 0;
    return;
  }
  if (*tracker + 1 < call.ints[0]) {
    ++*tracker;
    return;
  }
  const float grown = *scale * static_cast<float>(call.reals[0]);
  if (grown - grown == 0) *scale = grown;  // never to infinity
  *tracker = 0;
}

TRN_REGISTER_REALS(adam);
TRN_REGISTER_REALS(sgd);
TRN_REGISTER_REALS(adagrad);
TRN_REGISTER_REALS(unscale);
TRN_REGISTER("update_scale", DType::f32, update_scale);

}  // namespace
}  // namespace trn
