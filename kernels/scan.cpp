// Running sums, products, extremes along one dimension.
//
// operands: out [outer, length, inner], (indices), in; any strides. Items are lines: outer * inner.
#include "blocks.h"
#include "complex.h"

namespace trn {
namespace {

TRN_INLINE int64_t line(const Operand& o, int64_t item) {
  return item / o.sizes[2] * o.strides[0] + item % o.sizes[2] * o.strides[2];
}

template <class T> struct Wider { using type = T; };
template <> struct Wider<float> { using type = double; };
template <> struct Wider<bf16_t> { using type = float; };
template <> struct Wider<f16_t> { using type = float; };

template <class T, bool kProduct>
void running(const Call& call, const Range& range) {
  using A = typename Wider<T>::type;
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    T* to = out.as<T>() + line(out, item);
    const T* from = in.as<T>() + line(in, item);
    A acc = kProduct ? A(1) : A(0);
    for (int64_t i = 0; i < in.sizes[1]; ++i) {
      const A x = static_cast<A>(from[i * in.strides[1]]);
      acc = kProduct ? static_cast<A>(acc * x) : static_cast<A>(acc + x);
      to[i * out.strides[1]] = static_cast<T>(acc);
    }
  }
}
template <class T> void cumsum(const Call& c, const Range& r) { running<T, false>(c, r); }
template <class T> void cumprod(const Call& c, const Range& r) { running<T, true>(c, r); }

template <class T>
void logcumsumexp(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    T* to = out.as<T>() + line(out, item);
    const T* from = in.as<T>() + line(in, item);
    double acc = -__builtin_inf();
    for (int64_t i = 0; i < in.sizes[1]; ++i) {
      const double x = static_cast<double>(static_cast<acc_t<T>>(from[i * in.strides[1]]));
      const double high = acc < x ? x : acc, low = acc < x ? acc : x;
      if (x != x || acc != acc) acc = x + acc;
      else if (low != high || high - high == 0) acc = high + __builtin_log1p(__builtin_exp(low - high));
      to[i * out.strides[1]] = static_cast<T>(static_cast<acc_t<T>>(acc));
    }
  }
}

template <class T>
void logcumsumexp_complex(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    T* to = out.as<T>() + line(out, item);
    const T* from = in.as<T>() + line(in, item);
    c128_t acc(-__builtin_inf());
    for (int64_t i = 0; i < in.sizes[1]; ++i) {
      const T x = from[i * in.strides[1]];
      acc = log_add_exp(acc, c128_t(x.re, x.im));
      to[i * out.strides[1]] = T(acc.re, acc.im);
    }
  }
}

template <class T, bool kMax>
void running_extreme(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &where = call.operand[1], &in = call.operand[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const T* from = in.as<T>() + line(in, item);
    T* to = out.as<T>() + line(out, item);
    int64_t* index = where.as<int64_t>() + line(where, item);
    int64_t best = 0;
    T value = in.sizes[1] ? from[0] : T();
    for (int64_t i = 0; i < in.sizes[1]; ++i) {
      const T x = from[i * in.strides[1]];
      // The latest of equals, and NaN from where it first appears on.
      if (x != x || (!(value != value) && (kMax ? x >= value : x <= value))) {
        value = x;
        best = i;
      }
      to[i * out.strides[1]] = value;
      index[i * where.strides[1]] = best;
    }
  }
}
template <class T> void cummax(const Call& c, const Range& r) { running_extreme<T, true>(c, r); }
template <class T> void cummin(const Call& c, const Range& r) { running_extreme<T, false>(c, r); }

TRN_REGISTER_ALL(cumsum, cumsum);
TRN_REGISTER_ALL(cumprod, cumprod);
TRN_REGISTER_FLOATS(logcumsumexp, logcumsumexp);
TRN_REGISTER_COMPLEX(logcumsumexp, logcumsumexp_complex);
TRN_REGISTER_FLOATS(cummax, cummax);
TRN_REGISTER_INTS(cummax, cummax);
TRN_REGISTER_FLOATS(cummin, cummin);
TRN_REGISTER_INTS(cummin, cummin);

}  // namespace
}  // namespace trn
