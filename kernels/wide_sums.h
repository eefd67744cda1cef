// Sums over dense runs of float or bfloat16, a Wide at a time.
#pragma once

#include <initializer_list>

#include "wide.h"

namespace trn {
namespace {

// Sums in float are over so many elements at most, and so over 1 / kWide of it in one lane.
constexpr int64_t kSummed = 2048;

struct TwoSums {
  double first = 0, second = 0;
};
// Adds up what add(i, a, b) adds to the Wides a and b for i < n in steps of kWide.
template <class F>
TRN_INLINE void sum_by_wides(int64_t n, TwoSums& sums, F add) {
  for (int64_t from = 0; from < n; from += kSummed) {
    Wide a(0.f), b(0.f);
    for (int64_t i = from; i < n && i < from + kSummed; i += kWide) add(i, a, b);
    sums.first += static_cast<double>(sum_of(a));
    sums.second += static_cast<double>(sum_of(b));
  }
}
// The sum of term(i) for i < n in steps of kWide.
template <class F>
TRN_INLINE double sum_by_wides(int64_t n, F term) {
  double sum = 0;
  for (int64_t from = 0; from < n; from += kSummed) {
    Wide part(0.f);
    for (int64_t i = from; i < n && i < from + kSummed; i += kWide) part = part + term(i);
    sum += static_cast<double>(sum_of(part));
  }
  return sum;
}

// Has the Wide at p fetched, for a pass that comes to it soon; it need not exist. To the second
// level: from the first it would drive out what is being read, as rows of 4096 bytes do at once.
template <class S>
TRN_INLINE void fetch_wide(const S* p) {
  for (int64_t i = 0; i < kWide * static_cast<int64_t>(sizeof(S)); i += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(p) + i, 0, 2);
}

// f(S()) if all operands are of a type S that Wides are loaded from; whether they are. An absent
// one is of any type.
template <class F>
TRN_INLINE bool with_wide_type(std::initializer_list<const Operand*> operands, F f) {
  const DType type = (*operands.begin())->dtype;
  for (const Operand* o : operands)
    if (!o->absent() && o->dtype != type) return false;
  if (type == DType::f32) return f(float()), true;
  if (type == DType::bf16) return f(bf16_t()), true;
  return false;
}

}  // namespace
}  // namespace trn
