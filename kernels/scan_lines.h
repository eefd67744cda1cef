// The walk of scans: lines of a tensor, several of them abreast.
//
// operands: out [outer, length, inner], (where each value stands), in; any strides. Items are
// lines: outer * inner.
//
// A scan S gives
//   T, State          an element and what a line keeps
//   kIndexed          whether there is a second output, State::index
//   start()           the state before a line
//   step(s, x, i)     takes element number i and returns what the output holds there
#pragma once

#include "convert.h"

namespace trn {
namespace {

// Steps of one line wait for each other, those of different lines do not: so many go abreast as a
// set of the first-level cache holds lines of, since they may all be in one. Lines that lie side by
// side make vectors.
constexpr int kAbreast = 4, kSideBySide = 256;

// An operand from some line on: steps to the next line and along a line.
template <class T>
struct Lines {
  T* data;
  int64_t line, element;
  TRN_INLINE Lines(const Operand& o, int64_t item, bool inner)
      : data(o.as<T>() + item / o.sizes[2] * o.strides[0] + item % o.sizes[2] * o.strides[2]),
        line(o.strides[inner ? 2 : 0]),
        element(o.strides[1]) {}
};

// kCount lines, or `count` side by side if it is 0.
template <class S, int kCount>
void scan_lines(Lines<typename S::T> out, Lines<int64_t> where, Lines<const typename S::T> in,
                int count, int64_t length) {
  constexpr bool kDense = kCount == 0;
  const int n = kDense ? count : kCount;
  typename S::State s[kDense ? kSideBySide : kCount];
  for (int c = 0; c < n; ++c) s[c] = S::start();
  for (int64_t i = 0; i < length; ++i) {
    const auto* from = in.data + i * in.element;
    auto* to = out.data + i * out.element;
    int64_t* at = where.data + i * where.element;
    const auto take = [&](int c, int64_t in_place, int64_t out_place, int64_t index_place) {
      to[out_place] = S::step(s[c], from[in_place], i);
      if constexpr (S::kIndexed) at[index_place] = s[c].index;
    };
    if constexpr (kDense) {
#pragma GCC ivdep
      for (int c = 0; c < n; ++c) take(c, c, c, c);
    } else {
      // Unrolled, so that states stay in registers.
#pragma GCC unroll 4
      for (int c = 0; c < kCount; ++c) take(c, c * in.line, c * out.line, c * where.line);
    }
  }
}

template <class S>
void scan(const Call& call, const Range& range) {
  const Operand &first = call.operand[0], &second = call.operand[S::kIndexed],
                &in = call.operand[S::kIndexed + 1];
  const int64_t length = in.sizes[1], width = in.sizes[2];
  const bool inner = width > 1;
  const bool dense = inner && first.strides[2] == 1 && second.strides[2] == 1 && in.strides[2] == 1;
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t row = inner ? width - item % width : range.end - item;
    int64_t n = row < range.end - item ? row : range.end - item;
    n = dense ? (n < kSideBySide ? n : kSideBySide) : n < kAbreast || S::kIndexed ? 1 : kAbreast;
    const auto run = dense ? scan_lines<S, 0> : n == 1 ? scan_lines<S, 1> : scan_lines<S, kAbreast>;
    run({first, item, inner}, {second, item, inner}, {in, item, inner}, static_cast<int>(n),
        length);
    item += n;
  }
}

}  // namespace
}  // namespace trn
