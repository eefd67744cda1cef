// Counting: how often each integer occurs, and how many elements fall into bins of equal width.
#include "convert.h"

namespace trn {
namespace {

// Adds the places that each(visit) visits to counts [n] of all threads. Those of a range are
// counted in its scratch first where they are many more than the counts: an addition that other
// threads have to see costs as much as tens of others. A range that is alone needs neither.
template <class Each>
TRN_INLINE void count_all(const Call& call, const Range& range, Each each) {
  int64_t* counts = call.operand[0].as<int64_t>();
  const int64_t n = call.operand[0].sizes[0], items = range.end - range.begin;
  if (items == call.work) return each([=](int64_t at) { ++counts[at]; });
  const auto add = [=](int64_t at, int64_t more) {
    __atomic_fetch_add(counts + at, more, __ATOMIC_RELAXED);
  };
  if (n > items || n > kScratchBytes / 8) return each([=](int64_t at) { add(at, 1); });
  int64_t* own = reinterpret_cast<int64_t*>(range.scratch);
  for (int64_t k = 0; k < n; ++k) own[k] = 0;
  each([=](int64_t at) { ++own[at]; });
  for (int64_t k = 0; k < n; ++k)
    if (own[k]) add(k, own[k]);
}

// Counts of the values >= 0 of an input. operands: counts (i64, zeroed), in (i64), both dense and
// the counts long enough.
void bincount(const Call& call, const Range& range) {
  const int64_t* in = call.operand[1].as<int64_t>();
  count_all(call, range, [=](auto visit) {
    for (int64_t i = range.begin; i < range.end; ++i)
      if (in[i] >= 0) visit(in[i]);
  });
}

// Sums of weights instead. operands: sums (zeroed), in (i64), weights (the sums' type). One item:
// additions stay in order.
template <class T>
void bincount_weighted(const Call& call, const Range& range) {
  if (range.begin) return;
  const int64_t* in = call.operand[1].as<int64_t>();
  const T* weights = call.operand[2].as<T>();
  for (int64_t i = 0; i < call.operand[1].numel(); ++i)
    if (in[i] >= 0) call.operand[0].as<T>()[in[i]] += weights[i];
}

// Elements of each of n bins of equal width. operands: counts (i64, zeroed) [n], in (dense).
// reals: the first bin's lower edge, the last bin's upper edge, which belongs to it.
template <class T>
void histc(const Call& call, const Range& range) {
  using A = acc_t<T>;
  const A low = static_cast<A>(call.reals[0]), high = static_cast<A>(call.reals[1]);
  const int64_t n = call.operand[0].sizes[0];
  count_all(call, range, [=, &call](auto visit) {
    for (int64_t i = range.begin; i < range.end; ++i) {
      const A x = static_cast<A>(call.operand[1].as<T>()[i]);
      if (!(x >= low && x <= high)) continue;
      const int64_t at = static_cast<int64_t>((x - low) * static_cast<A>(n) / (high - low));
      visit(at < n ? at : n - 1);
    }
  });
}

TRN_REGISTER("bincount", DType::i64, bincount);
TRN_REGISTER_REALS(bincount_weighted);
TRN_REGISTER_FLOATS(histc, histc);

}  // namespace
}  // namespace trn
