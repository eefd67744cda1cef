// Rows joined end to end: what torch.cat writes, read from several matrices in one pass.
#include "move.h"

namespace trn {
namespace {

// operands: out [rows, width], then the parts [rows, n] of its type in the order in which they lie
// in a row; all rows are dense and n add up to width. Items are elements of out.
void cat(const Call& call, const Range& range) {
  const Operand& out = call.operand[0];
  const int64_t size = dtype_size(out.dtype), width = out.sizes[1];
  for (int64_t i = range.begin; i < range.end;) {
    const int64_t row = i / width, first = i % width;
    const int64_t last = width - first < range.end - i ? width : first + range.end - i;
    char* to = out.as<char>() + row * out.strides[0] * size;
    int64_t at = 0;  // where the part begins
    for (int k = 1; k < call.noperands; ++k) {
      const Operand& part = call.operand[k];
      const int64_t n = part.sizes[1];
      const int64_t from = first > at ? first - at : 0, until = last - at < n ? last - at : n;
      if (from < until)
        copy_bytes(to + (at + from) * size, part.as<char>() + (row * part.strides[0] + from) * size,
                   (until - from) * size);
      at += n;
    }
    i += last - first;
  }
}
TRN_REGISTER("cat", DType::u8, cat);

}  // namespace
}  // namespace trn
