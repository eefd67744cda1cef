// What group and batch normalisation do to a plane: n neighbours that share a scale and a shift.
#pragma once

#include "wide_sums.h"

namespace trn {
namespace {

// About the mean of a plane, by its first numbers: a large mean takes no digits from the variance
// of what differs from it.
template <class S>
TRN_INLINE float pivot_of(const S* x, int64_t n) {
  const int64_t first = n < kWide ? n : kWide;
  return S(sum_of(load_wide(x, n)) / static_cast<float>(first));
}
// Adds the sums of d = x - pivot and of d^2. `next` is what is read after the plane.
template <class S>
TRN_INLINE void add_moments(const S* x, const S* next, int64_t n, float pivot, TwoSums& sums) {
  sum_by_wides(
      n, sums, [&](int64_t i, Wide & a, Wide & b) __attribute__((always_inline)) {
        fetch_wide(next + i);
        const Wide d = load_wide(x + i, n - i, pivot) - Wide(pivot);
        a = a + d;
        b = b + d * d;
      });
}
// Mean and biased variance of `count` numbers from the sums of what differs from the pivot.
struct Spread {
  double mean, variance;
};
TRN_INLINE Spread spread_of(const TwoSums& sums, double count, float pivot) {
  const double mean = sums.first / count, variance = sums.second / count - mean * mean;
  return {mean + static_cast<double>(pivot), variance < 0 ? 0 : variance};
}

// Adds the sums of grad and of grad * (x - centre).
template <class S>
TRN_INLINE void add_products(const S* grad, const S* x, const S* next_grad, const S* next_x,
                             int64_t n, float centre, TwoSums& sums) {
  sum_by_wides(
      n, sums, [&](int64_t i, Wide & a, Wide & b) __attribute__((always_inline)) {
        fetch_wide(next_grad + i);
        fetch_wide(next_x + i);
        const Wide g = load_wide(grad + i, n - i),
                   d = load_wide(x + i, n - i, centre) - Wide(centre);
        a = a + g;
        b = b + g * d;
      });
}

// y = x * scale + shift.
template <class S>
TRN_INLINE void scale_plane(const S* x, S* y, int64_t n, double scale, double shift) {
  const Wide s(static_cast<float>(scale)), t(static_cast<float>(shift));
  for (int64_t i = 0; i < n; i += kWide) store_wide(y + i, n - i, load_wide(x + i, n - i) * s + t);
}
// y = grad * scale + x * other + shift.
template <class S>
TRN_INLINE void mix_planes(const S* grad, const S* x, S* y, int64_t n, double scale, double other,
                           double shift) {
  const Wide s(static_cast<float>(scale)), o(static_cast<float>(other)),
      t(static_cast<float>(shift));
  for (int64_t i = 0; i < n; i += kWide)
    store_wide(y + i, n - i, load_wide(grad + i, n - i) * s + (load_wide(x + i, n - i) * o + t));
}

}  // namespace
}  // namespace trn
