// The gradient of an embedding: each row of the table is the sum of the rows that used it.
#include "rows.h"

namespace trn {
namespace {

// Where each row of the table is used, in order. operands: ends (i64) [rows + 1], order (i64) [n],
// indices (i64 or i32) [n] dense. Row r is used by order[ends[r]] ... order[ends[r + 1] - 1]; an
// index out of range is reported and used by none. One item.
template <class I>
void embedding_uses(const Call& call, const Range& range) {
  if (range.begin) return;
  const int64_t rows = call.operand[0].sizes[0] - 1, n = call.operand[2].sizes[0];
  int64_t *ends = call.operand[0].as<int64_t>(), *order = call.operand[1].as<int64_t>();
  const I* index = call.operand[2].as<I>();
  const auto exists = [=](int64_t r) { return r >= 0 && r < rows; };
  for (int64_t r = 0; r <= rows; ++r) ends[r] = 0;
  for (int64_t k = 0; k < n; ++k) {
    if (exists(index[k])) ++ends[index[k]];
    else range.fault->report(FaultKind::index_out_of_range, index[k], rows);
  }
  int64_t sum = 0;
  for (int64_t r = 0; r <= rows; ++r) ends[r] = sum += ends[r];
  // From the last to the first: what was a row's end is its begin then.
  for (int64_t k = n - 1; k >= 0; --k)
    if (exists(index[k])) order[--ends[index[k]]] = k;
}

// operands: table's gradient [rows, width], ends, order as above, gradients [n, width]; dense.
// ints: a row that has none or -1, whether to divide by the number of uses, the width of a strip.
// Items are strips of rows.
template <class A>
void embedding_gradient(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[3];
  const int64_t *ends = call.operand[1].as<int64_t>(), *order = call.operand[2].as<int64_t>();
  const int64_t width = out.sizes[1], strip = call.ints[2], strips = (width + strip - 1) / strip;
  A* sum = reinterpret_cast<A*>(range.scratch);
  A* buffer = sum + strip;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t row = item / strips, at = item % strips * strip;
    const int64_t n = width - at < strip ? width - at : strip;
    const int64_t begin = ends[row], end = row == call.ints[0] ? begin : ends[row + 1];
    // The rows of the next items are fetched while this one's are added.
    if (end < call.operand[2].sizes[0]) fetch(grad, order[end] * width + at, n);
    A* to = place<A>(out, row * width + at, sum);
    const auto part = [&](int64_t k) { return load<A>(grad, order[k] * width + at, n, buffer); };
    if (begin == end) {
      for (int64_t c = 0; c < n; ++c) to[c] = 0;
    } else {
      const A* first = part(begin);
      for (int64_t c = 0; c < n; ++c) to[c] = first[c];
    }
    for (int64_t k = begin + 1; k < end; ++k) {
      const A* more = part(k);
#pragma GCC ivdep
      for (int64_t c = 0; c < n; ++c) to[c] += more[c];
    }
    if (call.ints[1] && end > begin)
      for (int64_t c = 0; c < n; ++c) to[c] /= static_cast<A>(end - begin);
    store(out, row * width + at, n, to);
  }
}

TRN_REGISTER("embedding_uses", DType::i64, embedding_uses<int64_t>);
TRN_REGISTER("embedding_uses", DType::i32, embedding_uses<int32_t>);
TRN_REGISTER_REALS(embedding_gradient);

}  // namespace
}  // namespace trn
