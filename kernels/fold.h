// Combining many numbers into one, in lanes that do not wait for each other.
#pragma once

#include "kernel.h"

namespace trn {
namespace {

// Four vectors of the widest registers, whatever the instruction set: the bits do not differ then.
// Narrow types, whose steps are short, do with fewer.
template <class A>
inline constexpr int kFoldLanes = sizeof(A) < 4 ? 64 : 256 / static_cast<int>(sizeof(A));

// All lanes as a tree. Their number is a constant, so that compilers keep them in registers.
template <int lanes, class A, class F>
TRN_INLINE A join_lanes(A* lane, F f) {
  if constexpr (lanes == 1) {
    return lane[0];
  } else {
    for (int k = 0; k < lanes / 2; ++k) lane[k] = f(lane[k], lane[k + lanes / 2]);
    return join_lanes<lanes / 2>(lane, f);
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
