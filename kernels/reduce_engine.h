// The reduction engine: many elements in, one state out, whatever the strides.
//
// Operands of a reduction kernel are laid out as [kept dimensions..., reduced dimensions...]: the
// input has both, outputs only the kept ones (ints[0] of them). One item is one output element,
// or, in parts, one chunk of an output's elements: ints[1] is the chunk's length (0: no parts).
// Chunks are cut by the shape alone, so the bits never depend on the number of threads.
//
//   ints[2] mode: 0 input to outputs; 1 input to states (operand 0: bytes); 2 states to outputs
//
// A reducer R gives
//   T, State            compute type and what is kept
//   init(call)          the state of nothing
//   block(s, x, n, at)  takes n dense elements, the first being number `at` of the reduced ones
//   one(s, x, at)       takes one element
//   merge(s, other)     joins two states, the first coming before
//   store(s, call, k)   writes the result for output k = 0, 1 through `put`
#pragma once

#include "blocks.h"
#include "walk.h"

namespace trn {
namespace {

inline constexpr int64_t kStateBytes = 32;  // of a state in memory, at most

// Writes one value of type T to an operand's element.
template <class T>
TRN_INLINE void put(const Operand& o, int64_t offset, T value) {
  TRN_ISA_NAMESPACE::convert_run(o.as<char>() + offset * dtype_size(o.dtype), o.dtype, 1, &value,
                                 DTypeOf<T>::value, 1, 1);
}

struct Layout {
  int kept, reduced;
  int64_t length;  // reduced elements an output
  int64_t chunk, parts;
};

TRN_INLINE Layout layout_of(const Call& call, const Operand& in) {
  Layout l;
  l.kept = static_cast<int>(call.ints[0]);
  l.reduced = in.ndim - l.kept;
  l.length = 1;
  for (int d = l.kept; d < in.ndim; ++d) l.length *= in.sizes[d];
  l.chunk = call.ints[1] ? call.ints[1] : (l.length ? l.length : 1);
  l.parts = call.ints[1] ? (l.length + l.chunk - 1) / l.chunk : 1;
  return l;
}

// The reduced dimensions of an input as an operand of their own.
TRN_INLINE Operand reduced_of(const Operand& in, int kept) {
  Operand r = in;
  r.ndim = static_cast<int8_t>(in.ndim - kept);
  for (int d = 0; d < r.ndim; ++d) {
    r.sizes[d] = in.sizes[kept + d];
    r.strides[d] = in.strides[kept + d];
  }
  return r;
}

TRN_INLINE int64_t kept_offset(const Operand& shape, int kept, const Operand& o, int64_t index) {
  int64_t offset = 0;
  for (int d = kept - 1; d >= 0; --d) {
    offset += index % shape.sizes[d] * o.strides[d];
    index /= shape.sizes[d];
  }
  return offset;
}

template <class R>
void take_elements(typename R::State& s, const Operand& reduced, int64_t begin, int64_t end,
                   char* scratch) {
  using T = typename R::T;
  constexpr DType type = DTypeOf<T>::value;
  T* buffer = reinterpret_cast<T*>(scratch);
  if (begin >= end) return;  // nothing to reduce: the state of nothing is the result
  Position p(reduced, begin);
  for (int64_t at = begin; at < end;) {
    // Short rows are gathered until a block is full.
    int64_t filled = 0;
    const T* dense = buffer;
    do {
      int64_t n = p.row_left() < end - at - filled ? p.row_left() : end - at - filled;
      n = n < kBlock - filled ? n : kBlock - filled;
      const char* from = p.address(reduced);
      const int64_t step = p.step(reduced);
      if (filled == 0 && reduced.dtype == type && (step == 1 || n == 1) && n >= 64)
        dense = reinterpret_cast<const T*>(from);
      else
        TRN_ISA_NAMESPACE::convert_run(buffer + filled, type, 1, from, reduced.dtype, step, n);
      p.advance(n);
      filled += n;
    } while (dense == buffer && filled < kBlock && at + filled < end);
    R::block(s, dense, filled, at);
    at += filled;
  }
}

// Outputs that lie side by side, reduced over rows: each row is read once, in order.
template <class R>
void take_columns(typename R::State* states, int64_t columns, const Operand& in, int64_t offset,
                  const Operand& reduced, int64_t begin, int64_t end, char* scratch) {
  using T = typename R::T;
  constexpr DType type = DTypeOf<T>::value;
  if (begin >= end) return;
  T* buffer = reinterpret_cast<T*>(scratch);
  Operand shifted = reduced;
  shifted.data = in.as<char>() + offset * dtype_size(in.dtype);
  Position p(shifted, begin);
  for (int64_t at = begin; at < end; ++at) {
    const char* from = p.address(shifted);
    const T* row = reinterpret_cast<const T*>(from);
    if (in.dtype != type) {
      TRN_ISA_NAMESPACE::convert_run(buffer, type, 1, from, in.dtype, 1, columns);
      row = buffer;
    }
    _Pragma("GCC ivdep") for (int64_t c = 0; c < columns; ++c) R::one(states[c], row[c], at);
    p.advance(1);
  }
}

template <class R>
void store_outputs(const typename R::State& s, const Call& call, const Operand& shape, int kept,
                   int64_t index) {
  for (int k = 0; k < call.noutputs; ++k)
    R::store(s, call, k, call.operand[k],
             kept_offset(shape, kept, call.operand[k], index));
}

template <class R>
void reduce_elements(const Call& call, const Range& range) {
  using State = typename R::State;
  static_assert(sizeof(State) <= kStateBytes);
  const Operand& in = call.operand[call.noutputs];
  const Layout l = layout_of(call, in);
  const bool to_states = call.ints[2] == 1;
  Operand reduced = reduced_of(in, l.kept);
  const int64_t inner = l.reduced ? reduced.strides[l.reduced - 1] : 1;
  // Along a strided reduction the kept dimension is often the dense one: go by columns then.
  const bool columns = l.kept > 0 && inner != 1 && in.strides[l.kept - 1] == 1 && l.parts == 1;
  constexpr int64_t kColumns = 256;
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t output = item / l.parts, part = item % l.parts;
    const int64_t begin = part * l.chunk;
    const int64_t end = begin + l.chunk < l.length ? begin + l.chunk : l.length;
    const int64_t offset = kept_offset(in, l.kept, in, output);
    int64_t n = 1;
    if (columns) {
      const int64_t row = in.sizes[l.kept - 1];
      n = row - output % row;
      n = n < kColumns ? n : kColumns;
      n = n < range.end - item ? n : range.end - item;
    }
    State* states = reinterpret_cast<State*>(range.scratch);
    char* buffer = range.scratch + kColumns * kStateBytes;
    for (int64_t c = 0; c < n; ++c) states[c] = R::init(call);
    if (columns) {
      take_columns<R>(states, n, in, offset, reduced, begin, end, buffer);
    } else {
      reduced.data = in.as<char>() + offset * dtype_size(in.dtype);
      take_elements<R>(states[0], reduced, begin, end, buffer);
    }
    for (int64_t c = 0; c < n; ++c) {
      if (to_states)
        __builtin_memcpy(call.operand[0].as<char>() + (item + c) * kStateBytes, &states[c],
                         sizeof(State));
      else
        store_outputs<R>(states[c], call, in, l.kept, output + c);
    }
    item += n;
  }
}

// operands: outputs, states [kept..., parts * kStateBytes bytes]; the kept shape is output 0's.
template <class R>
void merge_states(const Call& call, const Range& range) {
  const Operand& states = call.operand[call.noutputs];
  const int kept = static_cast<int>(call.ints[0]);
  const int64_t parts = call.ints[1];
  for (int64_t output = range.begin; output < range.end; ++output) {
    typename R::State s = R::init(call);
    for (int64_t part = 0; part < parts; ++part) {
      typename R::State other;
      __builtin_memcpy(&other, states.as<char>() + (output * parts + part) * kStateBytes,
                       sizeof(other));
      R::merge(s, other);
    }
    store_outputs<R>(s, call, call.operand[0], kept, output);
  }
}

template <class R>
void reduce(const Call& call, const Range& range) {
  if (call.ints[2] == 2) return merge_states<R>(call, range);
  reduce_elements<R>(call, range);
}

}  // namespace
}  // namespace trn
