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
//
// The engine knows a reducer as a table of loops over states, so that it is compiled once.
#pragma once

#include "blocks.h"
#include "transpose.h"
#include "walk.h"

namespace trn {
namespace {

inline constexpr int64_t kStateBytes = 32;  // of a state in memory, at most
// Bytes that a reducer takes at once, and outputs and rows when it goes by columns: buffers and
// states of a step stay in the first-level cache.
inline constexpr int64_t kReduceBytes = 16384;
inline constexpr int64_t kColumns = 512;
inline constexpr int kRows = 8;
// Rows up to this length are transposed and then taken by columns.
inline constexpr int64_t kShortRow = 64;
// Elements in a row from which they are taken where they lie.
inline constexpr int64_t kWorthReading = 64;

// Takes n dense elements of each of `count` lines, `ld` apart, a line for a state.
using TakeLines = void (*)(char* states, const void* x, int64_t ld, int64_t count, int64_t n,
                           int64_t at);

// A reducer as the engine calls it. States lie side by side, `state_bytes` apart.
struct Reducer {
  DType stored;
  int64_t state_bytes, narrow;
  int outputs;
  void (*init)(char* states, int64_t n, const Call& call);
  TakeLines lines, lines_of_halves;  // the second may be null
  void (*rows)(char* states, const void* x, int64_t ld, int64_t n, int64_t columns, int64_t at);
  void (*merge)(char* states, const char* others, int64_t n);
  DType type[2];  // of the results
  void (*value[2])(void* values, const char* states, int64_t n, const Call& call);

  char* state(char* states, int64_t c) const { return states + c * state_bytes; }
  // What takes elements of a type where they lie, or null.
  TakeLines in_place(DType type) const {
    return type == stored ? lines : type == DType::bf16 ? lines_of_halves : nullptr;
  }
};

// Its table.
template <class R>
struct Loops {
  using T = typename R::T;
  using State = typename R::State;
  static_assert(sizeof(State) <= kStateBytes);

  static State* of(char* states) { return reinterpret_cast<State*>(states); }
  static const State* of(const char* states) { return reinterpret_cast<const State*>(states); }
  static void init(char* states, int64_t n, const Call& call) {
    for (int64_t c = 0; c < n; ++c) of(states)[c] = R::init(call);
  }
  static void merge(char* states, const char* others, int64_t n) {
    for (int64_t c = 0; c < n; ++c) R::merge(of(states)[c], of(others)[c]);
  }
  template <class S>
  static void lines(char* states, const void* x, int64_t ld, int64_t count, int64_t n, int64_t at) {
    for (int64_t c = 0; c < count; ++c)
      R::block(of(states)[c], static_cast<const S*>(x) + c * ld, n, at);
  }
  static void rows(char* states, const void* x, int64_t ld, int64_t n, int64_t columns,
                   int64_t at) {
    R::rows(of(states), static_cast<const T*>(x), ld, n, columns, at);
  }
  template <int k>
  static void value(void* values, const char* states, int64_t n, const Call& call) {
    using V = decltype(R::template value<k>(*of(states), call));
    for (int64_t c = 0; c < n; ++c)
      static_cast<V*>(values)[c] = R::template value<k>(of(states)[c], call);
  }
  template <int k>
  static constexpr DType type() {
    return DTypeOf<decltype(R::template value<k>(*of((char*)nullptr), *(Call*)nullptr))>::value;
  }
  static constexpr DType stored() {
    if constexpr (requires { R::kStored; }) return R::kStored;
    else return DTypeOf<T>::value;
  }
  static constexpr Reducer table() {
    constexpr int last = R::kOutputs - 1;
    Reducer r{stored(),
              sizeof(State),
              R::kNarrow,
              R::kOutputs,
              init,
              lines<T>,
              nullptr,
              rows,
              merge,
              {type<0>(), type<last>()},
              {value<0>, value<last>}};
    if constexpr (__is_same(T, float) &&
                  requires(State& s, const bf16_t* x) { R::block(s, x, 0, 0); })
      r.lines_of_halves = lines<bf16_t>;
    return r;
  }
};

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

void take_elements(const Reducer& r, char* state, const Operand& reduced, int64_t begin,
                   int64_t end, char* buffer) {
  const int64_t size = dtype_size(r.stored), most = kReduceBytes / size;
  const TakeLines in_place = r.in_place(reduced.dtype);
  Position p(reduced, begin);
  for (int64_t at = begin; at < end;) {
    const auto in_a_row = [&](int64_t filled) {
      const int64_t left = end - at - filled, room = most - filled;
      const int64_t n = p.row_left() < left ? p.row_left() : left;
      return n < room ? n : room;
    };
    if (const int64_t n = in_a_row(0); in_place && p.step(reduced) == 1 && n >= kWorthReading) {
      in_place(state, p.address(reduced), 0, 1, n, at);
      p.advance(n);
      at += n;
      continue;
    }
    // Short rows are gathered until a block is full.
    int64_t filled = 0;
    do {
      const int64_t n = in_a_row(filled);
      TRN_ISA_NAMESPACE::convert_run(buffer + filled * size, r.stored, 1, p.address(reduced),
                                     reduced.dtype, p.step(reduced), n);
      p.advance(n);
      filled += n;
    } while (filled < most && at + filled < end);
    r.lines(state, buffer, 0, 1, filled, at);
    at += filled;
  }
}

// A matrix of which each column, or each row if `across`, is for a state of its own; rows are
// `bytes` apart. Elements are converted, and transposed where that lets them be taken faster.
void take_matrix(const Reducer& r, bool across, char* states, const char* from, DType stored,
                 int64_t bytes, int64_t rows, int64_t columns, int64_t at, char* scratch) {
  const int64_t size = dtype_size(stored), own = dtype_size(r.stored), ld = bytes / size;
  const int64_t lines = across ? columns : rows;  // elements of a state
  const int64_t width = across ? rows : columns;  // states
  const bool by_blocks = !across && width <= r.narrow;
  const char* x = from;
  int64_t step = ld;
  if (across || by_blocks) {
    transpose_any(from, ld, scratch, rows, rows, columns, size);
    x = scratch;
    step = rows;
  }
  if (stored != r.stored) {
    char* converted = scratch + (rows * columns * size + 63) / 64 * 64;
    if (x == from && ld != columns) {
      for (int64_t row = 0; row < rows; ++row)
        TRN_ISA_NAMESPACE::convert_run(converted + row * columns * own, r.stored, 1,
                                       from + row * bytes, stored, 1, columns);
      step = columns;
    } else {
      TRN_ISA_NAMESPACE::convert_run(converted, r.stored, 1, x, stored, 1, rows * columns);
    }
    x = converted;
  }
  if (!by_blocks) return r.rows(states, x, step, lines, width, at);
  r.lines(states, x, step, width, lines, at);
}

// Outputs that lie side by side, reduced over rows: each row is read once, in order.
void take_columns(const Reducer& r, char* states, int64_t columns, const Operand& reduced,
                  int64_t begin, int64_t end, char* scratch) {
  const DType stored = reduced.dtype;
  const int64_t bytes = (reduced.ndim ? reduced.strides[reduced.ndim - 1] : 0) * dtype_size(stored);
  // Rows that need a buffer come as many at once as stay in the first-level cache.
  const bool buffered = stored != r.stored || columns <= r.narrow;
  const int64_t most = buffered ? kColumns * kRows / columns / kRows * kRows : INT64_MAX;
  Position p(reduced, begin);
  for (int64_t at = begin; at < end;) {
    int64_t n = p.row_left() < end - at ? p.row_left() : end - at;
    n = n < most ? n : most;
    take_matrix(r, false, states, p.address(reduced), stored, bytes, n, columns, at, scratch);
    p.advance(n);
    at += n;
  }
}

// The results of n outputs from number `index` on, which lie in one row of the kept dimensions.
void store_outputs(const Reducer& r, const char* states, int64_t n, const Call& call,
                   const Operand& shape, int64_t index, char* scratch) {
  const int kept = static_cast<int>(call.ints[0]);
  for (int k = 0; k < r.outputs && k < call.noutputs; ++k) {
    r.value[k](scratch, states, n, call);
    const Operand& o = call.operand[k];
    char* to = o.as<char>() + kept_offset(shape, kept, o, index) * dtype_size(o.dtype);
    TRN_ISA_NAMESPACE::convert_run(to, o.dtype, kept ? o.strides[kept - 1] : 1, scratch, r.type[k],
                                   1, n);
  }
}

// How far outputs from `index` on go on in one row, at most `most`.
TRN_INLINE int64_t in_a_row(const Operand& shape, int kept, int64_t index, int64_t most) {
  const int64_t row = kept ? shape.sizes[kept - 1] : 1;
  int64_t n = row - index % row;
  return n < most ? n : most;
}

void reduce_elements(const Reducer& r, const Call& call, const Range& range) {
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
  // Rows that are a block each.
  const TakeLines in_place = l.reduced == 1 && inner == 1 ? r.in_place(in.dtype) : nullptr;
  const int64_t block = kReduceBytes / dtype_size(r.stored);
  const int64_t most =
      short_rows ? kColumns * kRows / (l.length < kRows ? kRows : l.length) : kColumns;
  char* states = range.scratch;
  char* buffer = range.scratch + kColumns * kStateBytes;
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t output = item % l.outputs, part = item / l.outputs;
    const int64_t begin = part * l.chunk;
    const int64_t end = begin + l.chunk < l.length ? begin + l.chunk : l.length;
    reduced.data = in.as<char>() + kept_offset(in, l.kept, in, output) * size;
    const int64_t left = range.end - item;
    const int64_t n = in_a_row(in, l.kept, output, left < most ? left : most);
    r.init(states, n, call);
    if (begin >= end) {
      // Nothing to reduce: the state of nothing is the result.
    } else if (columns) {
      take_columns(r, states, n, reduced, begin, end, buffer);
    } else if (short_rows) {
      take_matrix(r, true, states, reduced.as<char>(), in.dtype, beside * size, n, l.length, 0,
                  buffer);
    } else if (in_place && end - begin >= kWorthReading && end - begin <= block) {
      in_place(states, reduced.as<char>() + begin * size, beside, n, end - begin, begin);
    } else {
      for (int64_t c = 0; c < n; ++c, reduced.data = reduced.as<char>() + beside * size)
        take_elements(r, r.state(states, c), reduced, begin, end, buffer);
    }
    if (to_states)
      __builtin_memcpy(r.state(call.operand[0].as<char>(), item), states, n * r.state_bytes);
    else store_outputs(r, states, n, call, in, output, buffer);
    item += n;
  }
}

// operands: outputs, states [parts, kept...]; the kept shape is output 0's.
void merge_states(const Reducer& r, const Call& call, const Range& range) {
  const Operand& shape = call.operand[0];
  char* states = call.operand[call.noutputs].as<char>();
  const int kept = static_cast<int>(call.ints[0]);
  const int64_t parts = call.ints[1], outputs = shape.numel();
  char* joined = range.scratch;
  for (int64_t output = range.begin; output < range.end;) {
    const int64_t n = in_a_row(shape, kept, output,
                               range.end - output < kColumns ? range.end - output : kColumns);
    r.init(joined, n, call);
    for (int64_t part = 0; part < parts; ++part)
      r.merge(joined, r.state(states, part * outputs + output), n);
    store_outputs(r, joined, n, call, shape, output, range.scratch + kColumns * kStateBytes);
    output += n;
  }
}

// Not compiled again for a table that is known.
__attribute__((noinline, noclone)) void reduce_by(const Reducer& r, const Call& call,
                                                  const Range& range) {
  if (call.ints[2] == 2) return merge_states(r, call, range);
  reduce_elements(r, call, range);
}

template <class R>
void reduce(const Call& call, const Range& range) {
  static constexpr Reducer table = Loops<R>::table();
  reduce_by(table, call, range);
}

}  // namespace
}  // namespace trn
