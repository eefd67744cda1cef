// Indexing: gather, scatter, index, index_put, index_select, index_add, masked ops, put and take.
//
// Elements are moved by their size; arithmetic forms work in the element's own type. Where several
// sources meet one destination an item is everything that can land there in order, so that results
// do not depend on threads.
#include "blocks.h"
#include "walk.h"

namespace trn {
namespace {

struct Wide {
  uint64_t a, b;
};

// Element at `index` of an integer operand (i64 or i32) at element offset.
TRN_INLINE int64_t index_at(const Operand& o, int64_t offset) {
  return o.dtype == DType::i32 ? o.as<int32_t>()[offset] : o.as<int64_t>()[offset];
}

// Wraps a negative index; reports one out of range and puts 0 in its place.
TRN_INLINE int64_t checked(int64_t i, int64_t size, const Range& range) {
  const int64_t w = i < 0 ? i + size : i;
  if (w >= 0 && w < size) return w;
  range.fault->report(FaultKind::index_out_of_range, i, size);
  return 0;
}

struct Offsets {
  int64_t v[kMaxOperands];
};
// Element offsets of several operands of one shape at a linear index.
TRN_INLINE Offsets offsets_at(const Call& call, const Operand& shape, int64_t linear, int n) {
  Offsets o = {};
  for (int d = shape.ndim - 1; d >= 0; --d) {
    const int64_t at = linear % shape.sizes[d];
    linear /= shape.sizes[d];
    for (int k = 0; k < n; ++k)
      if (!call.operand[k].absent() && call.operand[k].ndim == shape.ndim)
        o.v[k] += at * call.operand[k].strides[d];
  }
  return o;
}

// --- index: out = self[indices...] ---------------------------------------------------------------
// operands: out, self (stride 0 along indexed dimensions), then one index tensor a dimension, all
// of the iteration shape. ints: 2 an index, size and element stride of the dimension it indexes.
template <class U>
void index(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &self = call.operand[1];
  const int n = call.noperands;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const Offsets at = offsets_at(call, out, i, n);
    int64_t from = at.v[1];
    for (int k = 2; k < n; ++k)
      from += checked(index_at(call.operand[k], at.v[k]), call.ints[2 * (k - 2)], range) *
              call.ints[2 * (k - 2) + 1];
    out.as<U>()[at.v[0]] = self.as<U>()[from];
  }
}

// self[indices...] = value, in order; operands: self, value, indices. One item is everything.
template <class U>
void index_put(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &value = call.operand[1];
  const int n = call.noperands;
  const int64_t work = value.numel();
  if (range.begin) return;
  for (int64_t i = 0; i < work; ++i) {
    const Offsets at = offsets_at(call, value, i, n);
    int64_t to = at.v[0];
    for (int k = 2; k < n; ++k)
      to += checked(index_at(call.operand[k], at.v[k]), call.ints[2 * (k - 2)], range) *
            call.ints[2 * (k - 2) + 1];
    self.as<U>()[to] = value.as<U>()[at.v[1]];
  }
}

template <class T> TRN_INLINE T plus(T a, T b) {
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t)) return T(a.re + b.re, a.im + b.im);
  else if constexpr (__is_same(T, bool)) return a || b;
  else return static_cast<T>(a + b);
}

template <class T>
void index_put_accumulate(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &value = call.operand[1];
  const int n = call.noperands;
  const int64_t work = value.numel();
  if (range.begin) return;
  for (int64_t i = 0; i < work; ++i) {
    const Offsets at = offsets_at(call, value, i, n);
    int64_t to = at.v[0];
    for (int k = 2; k < n; ++k)
      to += checked(index_at(call.operand[k], at.v[k]), call.ints[2 * (k - 2)], range) *
            call.ints[2 * (k - 2) + 1];
    T* p = self.as<T>() + to;
    *p = plus<T>(*p, value.as<T>()[at.v[1]]);
  }
}

// --- gather and scatter along a dimension -------------------------------------------------------
// operands: out, self, index; shapes [outer, length, inner] by strides, of the index. ints[0]:
// size of self along the dimension, ints[1] its stride. Items are index elements.
template <class U>
void gather(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &self = call.operand[1], &index = call.operand[2];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const Offsets at = offsets_at(call, index, i, 3);
    const int64_t k = checked(index_at(index, at.v[2]), call.ints[0], range);
    out.as<U>()[at.v[0]] = self.as<U>()[at.v[1] + k * call.ints[1]];
  }
}

enum Reduction : int64_t { kReplace, kSum, kProduct, kMaximum, kMinimum };

template <class T>
TRN_INLINE T combine(T a, T b, int64_t how) {
  if (how == kReplace) return b;
  if (how == kSum) return plus<T>(a, b);
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t)) {
    return T(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
  } else {
    if (how == kProduct) return static_cast<T>(a * b);
    if (a != a) return a;
    if (b != b) return b;
    return how == kMaximum ? (a < b ? b : a) : (b < a ? b : a);
  }
}

// operands: self (updated in place), index, src; the scattered dimension is the last of the index
// shape and has stride 0 for self: ints[0] its size, ints[1] its stride, ints[2] the reduction.
// One item is a line along that dimension: lines never meet.
template <class T>
void scatter(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &index = call.operand[1], &src = call.operand[2];
  const int last = index.ndim - 1;
  const int64_t length = index.sizes[last], how = call.ints[2];
  const bool one = !src.data;  // a scalar
  T scalar = T();
  if (one) {
    const bool integral = src.dtype <= DType::i64 || src.dtype == DType::b8;
    TRN_ISA_NAMESPACE::convert_run(&scalar, DTypeOf<T>::value, 1, &src.value,
                                   integral ? DType::i64 : DType::c128, 1, 1);
  }
  for (int64_t line = range.begin; line < range.end; ++line) {
    const Offsets at = offsets_at(call, index, line * length, one ? 2 : 3);
    for (int64_t k = 0; k < length; ++k) {
      const int64_t i =
          checked(index_at(index, at.v[1] + k * index.strides[last]), call.ints[0], range);
      T* p = self.as<T>() + at.v[0] + i * call.ints[1];
      *p = combine<T>(*p, one ? scalar : src.as<T>()[at.v[2] + k * src.strides[last]], how);
    }
  }
}

// --- index_select and its kin --------------------------------------------------------------------
// operands: out [outer, n, inner], self [outer, size, inner], index [n]. ints[0]: check and wrap.
// Items are rows (outer * n) of `inner` elements.
template <class U>
void index_select(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &self = call.operand[1], &index = call.operand[2];
  const int64_t n = out.sizes[1], inner = out.sizes[2];
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t o = row / n, j = row % n;
    int64_t i = index_at(index, j * index.strides[0]);
    if (i < 0 || i >= self.sizes[1]) {
      range.fault->report(FaultKind::index_out_of_range, i, self.sizes[1]);
      i = 0;
    }
    U* to = out.as<U>() + o * out.strides[0] + j * out.strides[1];
    const U* from = self.as<U>() + o * self.strides[0] + i * self.strides[1];
    if (out.strides[2] == 1 && self.strides[2] == 1)
      __builtin_memcpy(to, from, inner * sizeof(U));
    else
      for (int64_t k = 0; k < inner; ++k) to[k * out.strides[2]] = from[k * self.strides[2]];
  }
}

// self[:, index[j], :] (op)= source[:, j, :] in order of j. operands: self [outer, size, inner],
// index [n], source [outer, n, inner]. ints[0]: reduction; reals[0], ints[1]: alpha. One item is a
// strip of kStrip elements of inner, of one outer: strips never meet.
inline constexpr int64_t kStrip = 64;
template <class T>
void index_add(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &index = call.operand[1], &source = call.operand[2];
  const int64_t inner = self.sizes[2], strips = (inner + kStrip - 1) / kStrip;
  const int64_t n = source.sizes[1], how = call.ints[0];
  T alpha = T();
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t))
    alpha = T(static_cast<decltype(T::re)>(call.reals[0]), static_cast<decltype(T::re)>(call.reals[1]));
  else if constexpr (__is_same(T, float) || __is_same(T, double))
    alpha = static_cast<T>(call.reals[0]);
  else if constexpr (sizeof(T) == 2 && !__is_same(T, int16_t))
    alpha = T(static_cast<float>(call.reals[0]));
  else
    alpha = static_cast<T>(call.ints[1]);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t o = item / strips, k0 = item % strips * kStrip;
    const int64_t width = inner - k0 < kStrip ? inner - k0 : kStrip;
    for (int64_t j = 0; j < n; ++j) {
      const int64_t i = index_at(index, j * index.strides[0]);
      if (i < 0 || i >= self.sizes[1]) {
        range.fault->report(FaultKind::index_out_of_range, i, self.sizes[1]);
        continue;
      }
      T* to = self.as<T>() + o * self.strides[0] + i * self.strides[1] + k0 * self.strides[2];
      const T* from = source.as<T>() + o * source.strides[0] + j * source.strides[1] + k0 * source.strides[2];
      for (int64_t k = 0; k < width; ++k) {
        T& p = to[k * self.strides[2]];
        const T v = from[k * source.strides[2]];
        if (how == kSum) {
          if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t))
            p = plus<T>(p, combine<T>(alpha, v, kProduct));
          else if constexpr (sizeof(T) == 2 && !__is_same(T, int16_t))
            p = T(static_cast<float>(p) + static_cast<float>(alpha) * static_cast<float>(v));
          else
            p = static_cast<T>(p + alpha * v);
        } else {
          p = combine<T>(p, v, how);
        }
      }
    }
  }
}

// --- masks ---------------------------------------------------------------------------------------
// Counts non-zero elements of chunks. operands: counts [chunks] i64, src. ints[0]: chunk length.
template <class U>
void count_chunks(const Call& call, const Range& range) {
  const Operand &counts = call.operand[0], &src = call.operand[1];
  const int64_t chunk = call.ints[0], total = src.numel();
  for (int64_t c = range.begin; c < range.end; ++c) {
    const int64_t end = (c + 1) * chunk < total ? (c + 1) * chunk : total;
    int64_t n = 0;
    Position p(src, c * chunk);
    for (int64_t i = c * chunk; i < end;) {
      const int64_t run = p.row_left() < end - i ? p.row_left() : end - i;
      const U* from = reinterpret_cast<const U*>(p.address(src));
      for (int64_t k = 0; k < run; ++k) n += from[k * p.step(src)] != U(0);
      p.advance(run);
      i += run;
    }
    counts.as<int64_t>()[c] = n;
  }
}

// Coordinates of non-zero elements. operands: out [n, dims] i64, src, ends [chunks] (running
// counts). ints[0]: chunk length.
template <class U>
void nonzero_chunks(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &src = call.operand[1], &ends = call.operand[2];
  const int64_t chunk = call.ints[0], total = src.numel();
  for (int64_t c = range.begin; c < range.end; ++c) {
    int64_t row = c ? ends.as<int64_t>()[c - 1] : 0;
    const int64_t end = (c + 1) * chunk < total ? (c + 1) * chunk : total;
    Position p(src, c * chunk);
    for (int64_t i = c * chunk; i < end; ++i) {
      if (*reinterpret_cast<const U*>(p.address(src)) != U(0)) {
        for (int d = 0; d < src.ndim; ++d)
          out.as<int64_t>()[row * out.strides[0] + d * out.strides[1]] = p.at[d];
        ++row;
      }
      p.advance(1);
    }
  }
}

// masked_scatter: self = source[rank among true] where mask. operands: self, mask, source (dense),
// ends. ints[0]: chunk length.
template <class U>
void masked_scatter(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &mask = call.operand[1], &source = call.operand[2],
                &ends = call.operand[3];
  const int64_t chunk = call.ints[0], total = mask.numel();
  for (int64_t c = range.begin; c < range.end; ++c) {
    int64_t from = c ? ends.as<int64_t>()[c - 1] : 0;
    const int64_t end = (c + 1) * chunk < total ? (c + 1) * chunk : total;
    Position p(mask, c * chunk);
    for (int64_t i = c * chunk; i < end; ++i) {
      if (*reinterpret_cast<const bool*>(p.address(mask)))
        *reinterpret_cast<U*>(p.address(self)) = source.as<U>()[from++];
      p.advance(1);
    }
  }
}

// --- take and put: linear indices --------------------------------------------------------------
// operands: out, index; self as it lies (a dense copy's pointer). ints[0]: elements of self.
template <class U>
void take(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &index = call.operand[1], &self = call.operand[2];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const Offsets at = offsets_at(call, out, i, 2);
    out.as<U>()[at.v[0]] = self.as<U>()[checked(index_at(index, at.v[1]), call.ints[0], range)];
  }
}
// operands: self (dense), index, source. ints[0]: elements of self; ints[1]: accumulate. One item.
template <class T>
void put(const Call& call, const Range& range) {
  const Operand &self = call.operand[0], &index = call.operand[1], &source = call.operand[2];
  if (range.begin) return;
  const int64_t n = index.numel();
  for (int64_t i = 0; i < n; ++i) {
    const Offsets at = offsets_at(call, index, i, 3);
    T* p = self.as<T>() + checked(index_at(index, at.v[1]), call.ints[0], range);
    const T v = source.as<T>()[at.v[2]];
    *p = call.ints[1] ? plus<T>(*p, v) : v;
  }
}

// Kernels that only move are registered by element size, under the unsigned type of that size.
#define TRN_BY_SIZE(name)                            \
  TRN_REGISTER(#name, DType::u8, name<uint8_t>);     \
  TRN_REGISTER(#name, DType::u16, name<uint16_t>);   \
  TRN_REGISTER(#name, DType::u32, name<uint32_t>);   \
  TRN_REGISTER(#name, DType::u64, name<uint64_t>);   \
  TRN_REGISTER(#name, DType::c128, name<Wide>);
TRN_BY_SIZE(index) TRN_BY_SIZE(index_put) TRN_BY_SIZE(gather) TRN_BY_SIZE(index_select)
TRN_BY_SIZE(masked_scatter) TRN_BY_SIZE(take)
TRN_REGISTER_ALL(index_put_accumulate, index_put_accumulate);
TRN_REGISTER_ALL(scatter, scatter);
TRN_REGISTER_ALL(index_add, index_add);
TRN_REGISTER_ALL(put, put);
TRN_REGISTER("count_chunks", DType::u8, count_chunks<uint8_t>);
TRN_REGISTER("nonzero_chunks", DType::u8, nonzero_chunks<uint8_t>);

}  // namespace
}  // namespace trn
