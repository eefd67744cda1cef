// The reduction engine: many elements in, one state out, whatever the strides.
//
// Operands of a reduction kernel are laid out as [kept dimensions..., reduced dimensions...]: the
// input has both, outputs only the kept ones (ints[0] of them). One item is one output element,
// or, in parts, one chunk of an output's elements: ints[1] is the chunk's length (0: no parts), and
// the same chunk of all outputs comes before the next chunk of any. Chunks are cut by the shape
// alone, so the bits never depend on the number of threads.
//
//   ints[2] mode: 0 input to outputs; 1 input to states (operand 0: bytes); 2 states to outputs
//
// A reducer R gives
//   T, State            compute type and what is kept
//   kStored             the type that elements of T are, where it is not T's own
//   kOutputs            how many outputs it can have
//   init(call)          the state of nothing
//   block(s, x, n, at)  takes n dense elements, the first being number `at` of the reduced ones;
//                       a reducer of floats may take bf16_t as well
//   rows(s, x, ld, n, columns, at)  takes n rows of elements, each column for a state of its own
//   kNarrow             columns up to which transposing and taking blocks is faster than rows
//   merge(s, other)     joins two states, the first coming before
//   value<k>(s, call)   the result for output k = 0, 1
#pragma once

#include "blocks.h"
#include "transpose.h"
#include "walk.h"

namespace trn {
namespace {

inline constexpr int64_t kStateBytes = 32;  // of a state in memory, at most
// Bytes that a reducer takes at once, and outputs and rows when it goes by columns: buffers and
// states of a step stay in the first-level cache.
template <class T>
inline constexpr int64_t kReduceBlock = 8192 / static_cast<int64_t>(sizeof(T));
inline constexpr int64_t kColumns = 512;
inline constexpr int kRows = 8;
// Rows up to this length are transposed and then taken by columns.
inline constexpr int64_t kShortRow = 64;

template <class R>
constexpr DType stored_type() {
  if constexpr (requires { R::kStored; }) return R::kStored;
  else return DTypeOf<typename R::T>::value;
}

struct Layout {
  int kept, reduced;
  int64_t outputs, length;  // length: reduced elements an output
  int64_t chunk;            // of these, a part's
};

TRN_INLINE Layout layout_of(const Call& call, const Operand& in) {
  Layout l{static_cast<int>(call.ints[0]), 0, 1, 1, 0};
  l.reduced = in.ndim - l.kept;
  for (int d = 0; d < in.ndim; ++d) (d < l.kept ? l.outputs : l.length) *= in.sizes[d];
  l.chunk = call.ints[1] ? call.ints[1] : (l.length ? l.length : 1);
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
  constexpr DType type = stored_type<R>();
  constexpr int64_t kMost = kReduceBlock<T>;
  T* buffer = reinterpret_cast<T*>(scratch);
  Position p(reduced, begin);
  for (int64_t at = begin; at < end;) {
    // Halves that need no buffer are read as they lie.
    if constexpr (requires { R::block(s, static_cast<const bf16_t*>(nullptr), at, at); }) {
      if (reduced.dtype == DType::bf16 && type == DType::f32 && p.step(reduced) == 1 &&
          p.row_left() >= 64) {
        int64_t n = p.row_left() < end - at ? p.row_left() : end - at;
        n = n < kMost ? n : kMost;
        R::block(s, reinterpret_cast<const bf16_t*>(p.address(reduced)), n, at);
        p.advance(n);
        at += n;
        continue;
      }
    }
    // Short rows are gathered until a block is full.
    int64_t filled = 0;
    const T* dense = buffer;
    do {
      int64_t n = p.row_left() < end - at - filled ? p.row_left() : end - at - filled;
      n = n < kMost - filled ? n : kMost - filled;
      const char* from = p.address(reduced);
      const int64_t step = p.step(reduced);
      if (filled == 0 && reduced.dtype == type && (step == 1 || n == 1) && n >= 64)
        dense = reinterpret_cast<const T*>(from);
      else TRN_ISA_NAMESPACE::convert_run(buffer + filled, type, 1, from, reduced.dtype, step, n);
      p.advance(n);
      filled += n;
    } while (dense == buffer && filled < kMost && at + filled < end);
    R::block(s, dense, filled, at);
    at += filled;
  }
}

// A matrix of which each column, or each row if `across`, is for a state of its own; rows are
// `bytes` apart. Elements are converted, and transposed where that lets them be taken faster.
template <class R, bool across>
void take_matrix(typename R::State* states, const char* from, DType stored, int64_t bytes,
                 int64_t rows, int64_t columns, int64_t at, char* scratch) {
  using T = typename R::T;
  constexpr DType type = stored_type<R>();
  const int64_t size = dtype_size(stored), ld = bytes / size;
  const int64_t lines = across ? columns : rows;  // elements of a state
  const int64_t width = across ? rows : columns;  // states
  const bool by_blocks = !across && width <= R::kNarrow;
  const T* x = reinterpret_cast<const T*>(from);
  int64_t step = ld;
  if (across || by_blocks) {
    transpose_any(from, ld, scratch, rows, rows, columns, size);
    x = reinterpret_cast<const T*>(scratch);
    step = rows;
  }
  if (stored != type) {
    char* converted = scratch + (rows * columns * size + 63) / 64 * 64;
    if (x == reinterpret_cast<const T*>(from) && ld != columns) {
      for (int64_t r = 0; r < rows; ++r)
        TRN_ISA_NAMESPACE::convert_run(converted + r * columns * sizeof(T), type, 1,
                                       from + r * bytes, stored, 1, columns);
      step = columns;
    } else {
      TRN_ISA_NAMESPACE::convert_run(converted, type, 1, x, stored, 1, rows * columns);
    }
    x = reinterpret_cast<const T*>(converted);
  }
  if (!by_blocks) return R::rows(states, x, step, lines, width, at);
  for (int64_t c = 0; c < width; ++c) R::block(states[c], x + c * step, lines, at);
}

// Outputs that lie side by side, reduced over rows: each row is read once, in order.
template <class R>
void take_columns(typename R::State* states, int64_t columns, const Operand& reduced, int64_t begin,
                  int64_t end, char* scratch) {
  const DType stored = reduced.dtype;
  const int64_t bytes = (reduced.ndim ? reduced.strides[reduced.ndim - 1] : 0) * dtype_size(stored);
  // Rows that need a buffer come as many at once as stay in the first-level cache.
  const bool buffered = stored != stored_type<R>() || columns <= R::kNarrow;
  const int64_t most = buffered ? kColumns * kRows / columns / kRows * kRows : INT64_MAX;
  Position p(reduced, begin);
  for (int64_t at = begin; at < end;) {
    int64_t n = p.row_left() < end - at ? p.row_left() : end - at;
    n = n < most ? n : most;
    take_matrix<R, false>(states, p.address(reduced), stored, bytes, n, columns, at, scratch);
    p.advance(n);
    at += n;
  }
}

template <class R, int k>
TRN_INLINE void store_output(const typename R::State* states, int64_t n, const Call& call,
                             const Operand& shape, int64_t index, char* scratch) {
  using V = decltype(R::template value<k>(states[0], call));
  V* values = reinterpret_cast<V*>(scratch);
  for (int64_t c = 0; c < n; ++c) values[c] = R::template value<k>(states[c], call);
  const Operand& o = call.operand[k];
  const int kept = static_cast<int>(call.ints[0]);
  TRN_ISA_NAMESPACE::convert_run(
      o.as<char>() + kept_offset(shape, kept, o, index) * dtype_size(o.dtype), o.dtype,
      kept ? o.strides[kept - 1] : 1, values, DTypeOf<V>::value, 1, n);
}

// The results of n outputs from number `index` on, which lie in one row of the kept dimensions.
template <class R>
TRN_INLINE void store_outputs(const typename R::State* states, int64_t n, const Call& call,
                              const Operand& shape, int64_t index, char* scratch) {
  store_output<R, 0>(states, n, call, shape, index, scratch);
  if constexpr (R::kOutputs > 1)
    if (call.noutputs > 1) store_output<R, 1>(states, n, call, shape, index, scratch);
}

// How far outputs from `index` on go on in one row, at most `most`.
TRN_INLINE int64_t in_a_row(const Operand& shape, int kept, int64_t index, int64_t most) {
  const int64_t row = kept ? shape.sizes[kept - 1] : 1;
  int64_t n = row - index % row;
  return n < most ? n : most;
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
  const int64_t beside = l.kept ? in.strides[l.kept - 1] : 0;
  const int64_t size = dtype_size(in.dtype);
  // Along a strided reduction the kept dimension is often the dense one: go by columns then.
  const bool columns = beside == 1 && (l.reduced == 0 || inner != 1);
  const bool short_rows = l.kept > 0 && l.reduced == 1 && inner == 1 && l.length <= kShortRow &&
                          l.length > 0 && l.chunk == l.length;
  const int64_t most =
      short_rows ? kColumns * kRows / (l.length < kRows ? kRows : l.length) : kColumns;
  State* states = reinterpret_cast<State*>(range.scratch);
  char* buffer = range.scratch + kColumns * kStateBytes;
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t output = item % l.outputs, part = item / l.outputs;
    const int64_t begin = part * l.chunk;
    const int64_t end = begin + l.chunk < l.length ? begin + l.chunk : l.length;
    reduced.data = in.as<char>() + kept_offset(in, l.kept, in, output) * size;
    const int64_t left = range.end - item;
    const int64_t n = in_a_row(in, l.kept, output, left < most ? left : most);
    for (int64_t c = 0; c < n; ++c) states[c] = R::init(call);
    if (begin >= end) {
      // Nothing to reduce: the state of nothing is the result.
    } else if (columns) {
      take_columns<R>(states, n, reduced, begin, end, buffer);
    } else if (short_rows) {
      take_matrix<R, true>(states, reduced.as<char>(), in.dtype, beside * size, n, l.length, 0,
                           buffer);
    } else {
      for (int64_t c = 0; c < n; ++c, reduced.data = reduced.as<char>() + beside * size)
        take_elements<R>(states[c], reduced, begin, end, buffer);
    }
    if (to_states) __builtin_memcpy(call.operand[0].as<State>() + item, states, n * sizeof(State));
    else store_outputs<R>(states, n, call, in, output, buffer);
    item += n;
  }
}

// operands: outputs, states [parts, kept...]; the kept shape is output 0's.
template <class R>
void merge_states(const Call& call, const Range& range) {
  using State = typename R::State;
  const Operand& shape = call.operand[0];
  const State* states = call.operand[call.noutputs].as<State>();
  const int kept = static_cast<int>(call.ints[0]);
  const int64_t parts = call.ints[1], outputs = shape.numel();
  State* joined = reinterpret_cast<State*>(range.scratch);
  for (int64_t output = range.begin; output < range.end;) {
    const int64_t n = in_a_row(shape, kept, output,
                               range.end - output < kColumns ? range.end - output : kColumns);
    for (int64_t c = 0; c < n; ++c) joined[c] = R::init(call);
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t c = 0; c < n; ++c) R::merge(joined[c], states[part * outputs + output + c]);
    store_outputs<R>(joined, n, call, shape, output, range.scratch + kColumns * kStateBytes);
    output += n;
  }
}

template <class R>
void reduce(const Call& call, const Range& range) {
  if (call.ints[2] == 2) return merge_states<R>(call, range);
  reduce_elements<R>(call, range);
}

}  // namespace
}  // namespace trn
