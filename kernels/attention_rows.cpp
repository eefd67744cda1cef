// What goes before and after the backward of attention: sums of each query, and of the copies of
// its gradient.
//
// Items are rows of queries: batch * heads * queries of them.
#include "attention.h"
#include "blocks.h"
#include "math.h"

namespace trn {
namespace {

// Row `item` of a tensor [batch, heads, queries, ...].
template <class T>
TRN_INLINE T* row_at(const Operand& o, int64_t item) {
  const int64_t queries = o.sizes[2], heads = o.sizes[1];
  return o.as<T>() + item / queries / heads * o.strides[0] + item / queries % heads * o.strides[1] +
         item % queries * o.strides[2];
}

// operands: stats, floats: of batch * heads * queries, the logsumexp as an exponent of two
// (infinity for a query that sees nothing, so that its probabilities are 0), then sum(dout * out),
// then dropout's state; out, dout, logsumexp [batch, heads, queries]; the state's seed and offset,
// int64, or both absent: then they are ints[0] and ints[1].
template <class S>
void stats(const Call& call, const Range& range) {
  const Operand &out = call.operand[1], &dout = call.operand[2], &logsumexp = call.operand[3];
  const int64_t rows = call.work, head = out.sizes[3];
  float* to = call.operand[0].as<float>();
  for (int k = 0; k < 2 && range.begin == 0; ++k) {
    const Operand& word = call.operand[4 + k];
    const int64_t value = word.absent() ? call.ints[k] : *word.as<int64_t>();
    __builtin_memcpy(to + 2 * rows + k * (kStateFloats / 2), &value, sizeof value);
  }
  for (int64_t item = range.begin; item < range.end; ++item) {
    const float lse = *row_at<float>(logsumexp, item);
    to[item] = lse == -infinity<float>() ? infinity<float>() : lse * 1.44269504088896341f;
    const S *x = row_at<S>(out, item), *g = row_at<S>(dout, item);
    const int64_t xs = out.strides[3], gs = dout.strides[3];
    constexpr int kSums = 16;
    float sum[kSums] = {};
    int64_t d = 0;
    if (xs == 1 && gs == 1)
      for (; d + kSums <= head; d += kSums)
        for (int l = 0; l < kSums; ++l)
          sum[l] += static_cast<float>(x[d + l]) * static_cast<float>(g[d + l]);
    for (; d < head; ++d)
      sum[d % kSums] += static_cast<float>(x[d * xs]) * static_cast<float>(g[d * gs]);
    for (int half = kSums / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) sum[l] += sum[l + half];
    to[rows + item] = sum[0];
  }
}

// operands: dq [batch, heads, queries, head]; copies [copies, batch, heads, queries, head] of dense
// floats. reals: factor.
template <class S>
void sum_copies(const Call& call, const Range& range) {
  const Operand &dq = call.operand[0], &copies = call.operand[1];
  const int64_t head = dq.sizes[3];
  const float factor = static_cast<float>(call.reals[0]);
  float* sum = reinterpret_cast<float*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    for (int64_t d = 0; d < head; ++d) sum[d] = 0;
    for (int64_t c = 0; c < copies.sizes[0]; ++c) {
      const float* from = copies.as<float>() + c * copies.strides[0] + item * head;
      for (int64_t d = 0; d < head; ++d) sum[d] += from[d];
    }
    S* to = row_at<S>(dq, item);
    for (int64_t d = 0; d < head; ++d) to[d * dq.strides[3]] = static_cast<S>(sum[d] * factor);
  }
}

// Where dropout's random numbers begin: [2] of int64, ints[0] and ints[1].
void state(const Call& call, const Range&) {
  __builtin_memcpy(call.operand[0].data, call.ints, 2 * sizeof(int64_t));
}

TRN_REGISTER("attention_state", DType::i64, state);
TRN_REGISTER_FLOATS(attention_stats, stats);
TRN_REGISTER_FLOATS(attention_sum, sum_copies);

}  // namespace
}  // namespace trn
