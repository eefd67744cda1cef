// Combining many numbers into one, in lanes that do not wait for each other.
#pragma once

#include <type_traits>

#include "convert.h"

namespace trn {
namespace {

// Four vectors of the widest registers, whatever the instruction set: the bits do not differ then.
// Narrow types, whose steps are short, do with fewer.
template <class A>
inline constexpr int kFoldLanes = sizeof(A) < 4 ? 64 : 256 / static_cast<int>(sizeof(A));

// n of A side by side in a register, and whether f takes two of those.
template <class A, int n>
struct LanesOf {
  typedef A type __attribute__((vector_size(n * sizeof(A)), aligned(sizeof(A)), may_alias));
};
template <class A, int n, class F>
constexpr bool takes_lanes() {
  if constexpr (n > 1 && n * sizeof(A) <= kVectorBytes && std::is_arithmetic_v<A>) {
    using Lanes = typename LanesOf<A, n>::type;
    return requires(F f, Lanes x) { f(x, x); };
  } else {
    return false;
  }
}

// All lanes as a tree. Their number is a constant, so that compilers keep them in registers. Where
// f takes vectors, it gets both halves at once: compilers take such short loops apart.
template <int lanes, class A, class F>
TRN_INLINE A join_lanes(A* lane, F f) {
  if constexpr (lanes == 1) {
    return lane[0];
  } else {
    constexpr int kHalf = lanes / 2;
    if constexpr (takes_lanes<A, kHalf, F>()) {
      using Half = typename LanesOf<A, kHalf>::type;
      Half* half = reinterpret_cast<Half*>(lane);
      half[0] = f(half[0], half[1]);
    } else {
      for (int k = 0; k < kHalf; ++k) lane[k] = f(lane[k], lane[k + kHalf]);
    }
    return join_lanes<kHalf>(lane, f);
  }
}

// start, combined by f with term(0) ... term(n - 1); start is f's identity. Neighbours go to
// different lanes, and the lanes are joined as a tree.
template <class A, class T, class F>
TRN_INLINE A fold(int64_t n, A start, T term, F f) {
  constexpr int kLanes = kFoldLanes<A>;
  A lane[kLanes];
  for (int k = 0; k < kLanes; ++k) lane[k] = start;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] = f(lane[k], term(i + k));
  if (i < n) {
    // Filled up to whole vectors, which masked loads do at once.
    A tail[kLanes];
    const int left = static_cast<int>(n - i);
    for (int k = 0; k < kLanes; ++k) tail[k] = k < left ? term(i + k) : start;
    for (int k = 0; k < kLanes; ++k) lane[k] = f(lane[k], tail[k]);
  }
  return join_lanes<kLanes>(lane, f);
}

}  // namespace
}  // namespace trn
