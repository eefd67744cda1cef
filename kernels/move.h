// Moving elements, unchanged, between any strides.
//
// Short dense rows count as one wide element. Where an operand is dense along another dimension
// than the other one, blocks of both dimensions are transposed in registers, so that every cache
// line is read and written whole; that also spares strides that are powers of two from meeting in
// one set of the cache.
#pragma once

#include "copy_bytes.h"
#include "transpose.h"

namespace trn {
namespace {

// An iteration over elements of `bytes` bytes, outermost dimension first; strides count bytes.
struct Moves {
  int ndim = 0;
  int64_t bytes;
  int64_t size[kMaxDims], to[kMaxDims], from[kMaxDims];

  TRN_INLINE bool dense(int d) const { return to[d] == bytes && from[d] == bytes; }
  TRN_INLINE int64_t count(int dims) const {  // of positions of the outer `dims` dimensions
    int64_t n = 1;
    for (int d = 0; d < dims; ++d) n *= size[d];
    return n;
  }
};

TRN_INLINE Moves moves_of(const Operand& dst, const Operand& src) {
  constexpr int64_t kWidest = 256;
  Moves m;
  m.bytes = dtype_size(dst.dtype);
  for (int d = 0; d < dst.ndim; ++d) {
    if (dst.sizes[d] == 1) continue;
    m.size[m.ndim] = dst.sizes[d];
    m.to[m.ndim] = dst.strides[d] * m.bytes;
    m.from[m.ndim++] = src.strides[d] * m.bytes;
  }
  while (m.ndim > 1 && m.dense(m.ndim - 1)) {
    const int64_t row = m.bytes * m.size[m.ndim - 1];
    if (row > kWidest || (row & (row - 1))) break;
    m.bytes = row;
    --m.ndim;
  }
  return m;
}

// A position in the outer `dims` dimensions of an iteration, and its offsets in bytes.
struct Cursor {
  int64_t at[kMaxDims] = {}, to = 0, from = 0;
  TRN_INLINE Cursor(const Moves& m, int dims, int64_t index) {
    for (int d = dims - 1; d >= 0; --d) {
      at[d] = index % m.size[d];
      index /= m.size[d];
      to += at[d] * m.to[d];
      from += at[d] * m.from[d];
    }
  }
  TRN_INLINE void next(const Moves& m, int dims) {
    for (int d = dims - 1; d >= 0; --d) {
      to += m.to[d];
      from += m.from[d];
      if (++at[d] < m.size[d]) return;
      to -= m.size[d] * m.to[d];
      from -= m.size[d] * m.from[d];
      at[d] = 0;
    }
  }
};

// The part of `units` that falls to a range of a call's items; every unit falls to one range.
TRN_INLINE Range share_of(int64_t units, const Call& call, Range range) {
  const auto scaled = [&](int64_t i) {
    return static_cast<int64_t>(static_cast<unsigned __int128>(i) * units / call.work);
  };
  range.begin = scaled(range.begin);
  range.end = scaled(range.end);
  return range;
}

template <class U>
TRN_INLINE void move_strided(char* to, int64_t to_step, const char* from, int64_t from_step,
                             int64_t n) {
  const auto read = [](const char* p) { return *reinterpret_cast<const U*>(p); };
  constexpr int64_t kSize = sizeof(U);
  if (to_step < 0) {
    to += (n - 1) * to_step;
    from += (n - 1) * from_step;
    to_step = -to_step;
    from_step = -from_step;
  }
  U* __restrict dense = reinterpret_cast<U*>(to);
  if (to_step == kSize && from_step == 0) {
    const U x = read(from);
    for (int64_t i = 0; i < n; ++i) dense[i] = x;
  } else if (to_step == kSize && from_step == -kSize) {
    for (int64_t i = 0; i < n; ++i) dense[i] = read(from - i * kSize);
  } else {
    constexpr int64_t kAhead = 8;
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (kSize >= 32)
        for (int64_t k = 0; k < kSize; k += 64)
          __builtin_prefetch(from + (i + kAhead) * from_step + k);
      *reinterpret_cast<U*>(to + i * to_step) = read(from + i * from_step);
    }
  }
}

// f(u) for a u of `bytes` bytes.
template <class F>
TRN_INLINE void with_element(int64_t bytes, F f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    case 16: return f(Element<16>{});
    case 32: return f(Element<32>{});
    case 64: return f(Element<64>{});
    case 128: return f(Element<128>{});
    default: return f(Element<256>{});
  }
}

// Rows along the last dimension, a part of one where there are few. Where rows are short, those to
// come are fetched: the processor's own prefetching ends with a row.
template <class F>
TRN_INLINE void move_rows(const Moves& m, const Call& call, const Range& range, char* dst,
                          const char* src, F move) {
  constexpr int64_t kAhead = 8, kShort = 2048;
  const int last = m.ndim - 1;
  const int64_t length = m.size[last], row = length * m.bytes;
  const Range part = share_of(m.count(m.ndim), call, range);
  const int64_t rows = part.end / length;
  int64_t r = part.begin / length, first = part.begin % length;
  Cursor c(m, last, r), ahead(m, last, r);
  const bool fetches = m.dense(last) && row <= kShort && last > 0;
  for (int64_t k = 0; fetches && k < kAhead; ++k) ahead.next(m, last);
  for (int64_t i = part.begin; i < part.end; ++r, first = 0) {
    const int64_t end = r < rows ? length : part.end - rows * length;
    if (fetches && r + kAhead < rows) {
      for (int64_t k = 0; k < row; k += 64) __builtin_prefetch(src + ahead.from + k);
      ahead.next(m, last);
    }
    move(dst + c.to + first * m.to[last], src + c.from + first * m.from[last], end - first);
    c.next(m, last);
    i += end - first;
  }
}

// Blocks of dimension `d`, along which the source is dense, and the last one, along which the
// destination is.
inline void move_blocks(Moves m, int d, const Call& call, const Range& range, char* dst,
                        const char* src) {
  // Whole lines of both sides, and more of the side that is written; few pages at a time.
  const int last = m.ndim - 1;
  const int64_t bytes = m.bytes, width = bytes < 8 ? 128 / bytes : 16, height = 128;
  const int64_t across = m.size[d], along = m.size[last];
  const int64_t to_step = m.to[d] / bytes, from_step = m.from[last] / bytes;
  // Blocks take the place of the two dimensions: those along the destination's rows come last.
  m.size[d] = (across + width - 1) / width;
  m.to[d] *= width;
  m.from[d] *= width;
  m.size[last] = (along + height - 1) / height;
  m.to[last] *= height;
  m.from[last] *= height;
  const Range part = share_of(m.count(m.ndim), call, range);
  Cursor c(m, m.ndim, part.begin);
  for (int64_t i = part.begin; i < part.end; ++i, c.next(m, m.ndim)) {
    const int64_t rows = along - c.at[last] * height, columns = across - c.at[d] * width;
    transpose_any(src + c.from, from_step, dst + c.to, to_step, rows < height ? rows : height,
                  columns < width ? columns : width, bytes);
  }
}

// The dimension to transpose with the last one, or -1.
TRN_INLINE int transposable(const Moves& m) {
  constexpr int64_t kWorth = 4;
  const int last = m.ndim - 1;
  const bool fills = m.from[last] == 0 && m.size[last] * m.bytes >= kVectorBytes;
  if (last < 1 || fills || m.bytes > 16 || m.to[last] != m.bytes || m.from[last] % m.bytes)
    return -1;
  for (int d = 0; d < last; ++d)
    if (m.from[d] == m.bytes && m.to[d] % m.bytes == 0 && m.size[d] >= kWorth) return d;
  return -1;
}

// dst = src for operands of one shape and type.
inline void move_elements(const Operand& dst, const Operand& src, const Call& call,
                          const Range& range) {
  Moves m = moves_of(dst, src);
  char* to = dst.as<char>();
  const char* from = src.as<char>();
  if (m.ndim == 0) {
    m.ndim = 1;
    m.size[0] = 1;
    m.to[0] = m.from[0] = m.bytes;
  }
  const int last = m.ndim - 1;
  if (m.dense(last))
    return move_rows(m, call, range, to, from,
                     [&m](char* t, const char* f, int64_t n) { copy_bytes(t, f, n * m.bytes); });
  // Rows of several cache lines are read in the order in which they lie.
  if (last > 0 && m.bytes >= 256 && m.from[last - 1] < m.from[last]) {
    std::swap(m.size[last - 1], m.size[last]);
    std::swap(m.to[last - 1], m.to[last]);
    std::swap(m.from[last - 1], m.from[last]);
  }
  if (const int d = transposable(m); d >= 0) return move_blocks(m, d, call, range, to, from);
  with_element(m.bytes, [&](auto element) {
    move_rows(m, call, range, to, from, [&](char* t, const char* f, int64_t n) {
      move_strided<decltype(element)>(t, m.to[last], f, m.from[last], n);
    });
  });
}

}  // namespace
}  // namespace trn
