// Hinge losses between a row's classes, and their gradients.
#include "convert.h"

namespace trn {
namespace {

// operands: losses [n], scores [n, classes] dense, target [n] i64, weight [classes] or absent.
// ints: power (1 or 2); reals: margin. Items are rows.
template <class T>
void multi_margin_loss(const Call& call, const Range& range) {
  const Operand &in = call.operand[1], &weight = call.operand[3];
  const int64_t classes = in.sizes[1];
  const T margin = static_cast<T>(call.reals[0]);
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t t = call.operand[2].as<int64_t>()[i];
    if (t < 0 || t >= classes) {
      range.fault->report(FaultKind::index_out_of_range, t, classes);
      continue;
    }
    const T* x = in.as<T>() + i * classes;
    T sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const T z = margin - x[t] + x[c];
      if (c != t && z > T(0)) sum += call.ints[0] == 1 ? z : z * z;
    }
    if (!weight.absent()) sum *= weight.as<T>()[t * weight.strides[0]];
    call.operand[0].as<T>()[i] = sum / static_cast<T>(classes);
  }
}

// operands: grad_scores [n, classes] dense, zeroed; grad [n] of any stride, scores, target,
// weight. ints: power; reals: margin, factor. Items are rows.
template <class T>
void multi_margin_loss_backward(const Call& call, const Range& range) {
  const Operand &grad = call.operand[1], &in = call.operand[2], &weight = call.operand[4];
  const int64_t classes = in.sizes[1];
  const T margin = static_cast<T>(call.reals[0]), factor = static_cast<T>(call.reals[1]);
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t t = call.operand[3].as<int64_t>()[i];
    if (t < 0 || t >= classes) continue;
    const T* x = in.as<T>() + i * classes;
    T* to = call.operand[0].as<T>() + i * classes;
    T scale = factor * grad.as<T>()[i * grad.strides[0]];
    if (!weight.absent()) scale *= weight.as<T>()[t * weight.strides[0]];
    T sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const T z = margin - x[t] + x[c];
      if (c == t || !(z > T(0))) continue;
      to[c] = call.ints[0] == 1 ? scale : T(2) * scale * z;
      sum += to[c];
    }
    to[t] = -sum;
  }
}

// How many targets a row has: they end at the first negative one.
TRN_INLINE int64_t targets_of(const int64_t* target, int64_t classes, Fault* fault) {
  int64_t n = 0;
  while (n < classes && target[n] >= 0) {
    if (target[n] >= classes) {
      fault->report(FaultKind::index_out_of_range, target[n], classes);
      break;
    }
    ++n;
  }
  return n;
}

// operands: losses [n], is_target [n, classes] dense; scores [n, classes], target [n, classes] i64,
// dense. Items are rows.
template <class T>
void multilabel_margin_loss(const Call& call, const Range& range) {
  const int64_t classes = call.operand[2].sizes[1];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T* x = call.operand[2].as<T>() + i * classes;
    T* mark = call.operand[1].as<T>() + i * classes;
    const int64_t* target = call.operand[3].as<int64_t>() + i * classes;
    const int64_t n = targets_of(target, classes, range.fault);
    for (int64_t c = 0; c < classes; ++c) mark[c] = 0;
    for (int64_t k = 0; k < n; ++k) mark[target[k]] = 1;
    T sum = 0;
    for (int64_t k = 0; k < n; ++k)
      for (int64_t c = 0; c < classes; ++c) {
        const T z = T(1) - x[target[k]] + x[c];
        if (mark[c] == T(0) && z > T(0)) sum += z;
      }
    call.operand[0].as<T>()[i] = sum / static_cast<T>(classes);
  }
}

// operands: grad_scores [n, classes] dense, zeroed; grad [n] of any stride, scores, target,
// is_target. reals: factor. Items are rows.
template <class T>
void multilabel_margin_loss_backward(const Call& call, const Range& range) {
  const Operand& grad = call.operand[1];
  const int64_t classes = call.operand[2].sizes[1];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T* x = call.operand[2].as<T>() + i * classes;
    const int64_t* target = call.operand[3].as<int64_t>() + i * classes;
    const T* mark = call.operand[4].as<T>() + i * classes;
    T* to = call.operand[0].as<T>() + i * classes;
    const T scale = static_cast<T>(call.reals[0]) * grad.as<T>()[i * grad.strides[0]];
    const int64_t n = targets_of(target, classes, range.fault);
    for (int64_t k = 0; k < n; ++k)
      for (int64_t c = 0; c < classes; ++c) {
        const T z = T(1) - x[target[k]] + x[c];
        if (mark[c] != T(0) || !(z > T(0))) continue;
        to[target[k]] -= scale;
        to[c] += scale;
      }
  }
}

TRN_REGISTER_REALS(multi_margin_loss);
TRN_REGISTER_REALS(multi_margin_loss_backward);
TRN_REGISTER_REALS(multilabel_margin_loss);
TRN_REGISTER_REALS(multilabel_margin_loss_backward);

}  // namespace
}  // namespace trn
