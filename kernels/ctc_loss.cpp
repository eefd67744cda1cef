// Connectionist temporal classification: the likelihood of a label sequence over all alignments,
// and its gradient, in logarithms (Graves et al. 2006).
//
// A sequence of n labels has 2n + 1 states: blanks at even ones, labels at odd ones. A state is
// reached from itself, from the one before, and, past a blank between unlike labels, from two
// before. Items are batch entries; everything of one entry has one order.
#include "convert.h"
#include "math.h"

namespace trn {
namespace {

// operands (of both kernels): ..., log_probs [time, batch, labels] of any strides, targets i64 or
// i32 flat, lengths [3, batch] i64: of inputs, of targets, and where an entry's targets start.
// ints: blank, stride of targets.
template <class T>
struct Sequence {
  const Operand &probs, &targets;
  int64_t blank, stride, inputs, labels, start, base;
  Fault* fault;

  TRN_INLINE Sequence(const Call& c, int first, int64_t b, Fault* f)
      : probs(c.operand[first]),
        targets(c.operand[first + 1]),
        blank(c.ints[0]),
        stride(c.ints[1]),
        fault(f) {
    const Operand& lengths = c.operand[first + 2];
    const int64_t* l = lengths.as<int64_t>() + b;
    inputs = l[0];
    labels = l[lengths.sizes[1]];
    start = l[2 * lengths.sizes[1]];
    base = b * probs.strides[1];
  }
  TRN_INLINE int64_t states() const { return 2 * labels + 1; }
  TRN_INLINE int64_t symbol(int64_t s) const {
    if (s % 2 == 0) return blank;
    const int64_t at = start + stride * (s / 2);
    const int64_t label =
        targets.dtype == DType::i32 ? targets.as<int32_t>()[at] : targets.as<int64_t>()[at];
    if (label >= 0 && label < probs.sizes[2]) return label;
    fault->report(FaultKind::index_out_of_range, label, probs.sizes[2]);
    return blank;
  }
  TRN_INLINE T log_prob(int64_t t, int64_t label) const {
    return probs.as<T>()[base + t * probs.strides[0] + label * probs.strides[2]];
  }
  // Whether state s is reached from s - 2.
  TRN_INLINE bool skips(int64_t s) const { return s > 1 && symbol(s - 2) != symbol(s); }
};

// log(exp(a) + exp(b) + exp(c)); -infinity for none.
template <class T>
TRN_INLINE T log_sum(T a, T b, T c) {
  T m = a > b ? a : b;
  m = m > c ? m : c;
  if (m == -infinity<T>()) return m;
  return m_log(m_exp(a - m) + m_exp(b - m) + m_exp(c - m)) + m;
}

// operands: losses [batch], alpha [batch, time, states] dense: the likelihood of all ways to a
// state; then as above.
template <class T>
void ctc_loss(const Call& call, const Range& range) {
  const Operand& alpha = call.operand[1];
  const T none = -infinity<T>();
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Sequence<T> q(call, 2, b, range.fault);
    const int64_t width = alpha.sizes[2], states = q.states();
    T* a = alpha.as<T>() + b * alpha.strides[0];
    for (int64_t i = 0; i < alpha.strides[0]; ++i) a[i] = none;
    T& loss = call.operand[0].as<T>()[b];
    if (q.inputs == 0) {
      loss = q.labels == 0 ? T(0) : infinity<T>();
      continue;
    }
    a[0] = q.log_prob(0, q.blank);
    if (q.labels > 0) a[1] = q.log_prob(0, q.symbol(1));
    for (int64_t t = 1; t < q.inputs; ++t) {
      const T* before = a + (t - 1) * width;
      for (int64_t s = 0; s < states; ++s)
        a[t * width + s] =
            log_sum(before[s], s > 0 ? before[s - 1] : none, q.skips(s) ? before[s - 2] : none) +
            q.log_prob(t, q.symbol(s));
    }
    const T* last = a + (q.inputs - 1) * width;
    loss = -log_sum(last[states - 1], q.labels > 0 ? last[states - 2] : none, none);
  }
}

// operands: grad_log_probs [time, batch, labels] dense, beta [batch, 2, states]: two rows of
// likelihoods from a state to the end; losses [batch], alpha, grad [batch] of any stride; then as
// above. ints[2]: whether infinite losses have no gradient.
template <class T>
void ctc_loss_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &beta = call.operand[1], &alpha = call.operand[3],
                &grads = call.operand[4];
  const T none = -infinity<T>();
  const int64_t classes = out.sizes[2];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Sequence<T> q(call, 5, b, range.fault);
    const int64_t width = alpha.sizes[2], states = q.states();
    const T* a = alpha.as<T>() + b * alpha.strides[0];
    T* rows = beta.as<T>() + b * beta.strides[0];
    const T loss = call.operand[2].as<T>()[b], scale = grads.as<T>()[b * grads.strides[0]];
    const auto row_of = [&](int64_t t) { return out.as<T>() + (t * out.sizes[1] + b) * classes; };
    const bool no_gradient = call.ints[2] && loss == infinity<T>();
    const int64_t inputs = no_gradient ? 0 : q.inputs;
    for (int64_t t = inputs; t < out.sizes[0]; ++t)
      for (int64_t c = 0; c < classes; ++c) row_of(t)[c] = 0;
    for (int64_t t = inputs - 1; t >= 0; --t) {
      T *now = rows + t % 2 * width, *row = row_of(t);
      const T* after = rows + (t + 1) % 2 * width;
      for (int64_t c = 0; c < classes; ++c) row[c] = none;
      for (int64_t s = states - 1; s >= 0; --s) {
        const int64_t label = q.symbol(s);
        T reach = none;
        if (t == inputs - 1) reach = s >= states - 2 ? T(0) : none;
        else
          reach = log_sum(after[s], s + 1 < states ? after[s + 1] : none,
                          s + 2 < states && q.skips(s + 2) ? after[s + 2] : none);
        now[s] = reach + q.log_prob(t, label);
        row[label] = log_sum(row[label], a[t * width + s] + now[s], none);
      }
      for (int64_t c = 0; c < classes; ++c) {
        const T p = q.log_prob(t, c);
        row[c] = (m_exp(p) - m_exp(row[c] + loss - p)) * scale;
      }
    }
  }
}

TRN_REGISTER_REALS(ctc_loss);
TRN_REGISTER_REALS(ctc_loss_backward);

}  // namespace
}  // namespace trn
