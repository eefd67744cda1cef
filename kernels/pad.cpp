// Padding by reflection or by repeating the edge, and its gradient; three dimensions, with sizes
// of 1 in front for fewer.
//
// Planes are [batch, channels, d, h, w] of any strides. ints: padding before each dimension [3],
// ints[3]: 1 to reflect, 0 to repeat the edge.
#include "blocks.h"
#include "complex_arithmetic.h"
#include "copy_bytes.h"

namespace trn {
namespace {

TRN_INLINE int64_t source_of(int64_t i, int64_t before, int64_t size, bool reflect) {
  int64_t at = i - before;
  if (reflect) {
    if (at < 0) at = -at;
    if (at >= size) at = 2 * (size - 1) - at;
    return at;
  }
  return at < 0 ? 0 : at >= size ? size - 1 : at;
}

// Rows of a padded tensor and of its source.
struct Rows {
  const Operand &padded, &source;
  const int64_t before, reflect, width, source_width;
  // Columns [begin, end) of the padded row are numbers of the source in their order.
  int64_t begin, end;
  int64_t row = 0, source_row = 0;  // elements at which they begin

  Rows(const Call& call, const Operand& padded, const Operand& source)
      : padded(padded),
        source(source),
        before(call.ints[2]),
        reflect(call.ints[3]),
        width(padded.sizes[4]),
        source_width(source.sizes[4]) {
    begin = before > 0 ? before : 0;
    end = before + source_width < width ? before + source_width : width;
    if (begin > width) begin = width;
    if (end < begin) end = begin;
  }
  TRN_INLINE void find(const Call& call, int64_t n, int64_t c, int64_t d, int64_t h) {
    const int64_t *to = padded.strides, *from = source.strides;
    row = n * to[0] + c * to[1] + d * to[2] + h * to[3];
    source_row = n * from[0] + c * from[1] +
                 source_of(d, call.ints[0], source.sizes[2], reflect) * from[2] +
                 source_of(h, call.ints[1], source.sizes[3], reflect) * from[3];
  }
  // Calls f(padded element, source element) for columns [w, w_end).
  template <class F>
  TRN_INLINE void each(int64_t w, int64_t w_end, F f) const {
    for (; w < w_end; ++w)
      f(row + w * padded.strides[4],
        source_row + source_of(w, before, source_width, reflect) * source.strides[4]);
  }
  bool dense() const { return padded.strides[4] == 1 && source.strides[4] == 1; }
};

// operands: padded, source. Items are rows of the padded.
template <class U>
void pad(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  Rows rows(call, out, in);
  const auto copy = [&](int64_t to, int64_t from) { out.as<U>()[to] = in.as<U>()[from]; };
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t h = item % out.sizes[3], over = item / out.sizes[3];
    const int64_t d = over % out.sizes[2], plane = over / out.sizes[2];
    rows.find(call, plane / out.sizes[1], plane % out.sizes[1], d, h);
    if (!rows.dense()) {
      rows.each(0, rows.width, copy);
      continue;
    }
    rows.each(0, rows.begin, copy);
    copy_bytes(out.as<U>() + rows.row + rows.begin,
               in.as<U>() + rows.source_row + rows.begin - rows.before,
               (rows.end - rows.begin) * static_cast<int64_t>(sizeof(U)));
    rows.each(rows.end, rows.width, copy);
  }
}

// operands: gradient of the source (zeroed), of the padded. Items are planes, whose additions have
// one order.
template <class T>
void pad_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1];
  Rows rows(call, grad, out);
  const auto add = [&](int64_t from, int64_t to) {
    out.as<T>()[to] = out.as<T>()[to] + grad.as<T>()[from];
  };
  for (int64_t item = range.begin; item < range.end; ++item)
    for (int64_t d = 0; d < grad.sizes[2]; ++d)
      for (int64_t h = 0; h < grad.sizes[3]; ++h) {
        rows.find(call, item / grad.sizes[1], item % grad.sizes[1], d, h);
        if (!rows.dense()) {
          rows.each(0, rows.width, add);
          continue;
        }
        rows.each(0, rows.begin, add);
        T* __restrict to = out.as<T>() + rows.source_row + rows.begin - rows.before;
        const T* __restrict from = grad.as<T>() + rows.row + rows.begin;
        for (int64_t i = 0; i < rows.end - rows.begin; ++i) to[i] = to[i] + from[i];
        rows.each(rows.end, rows.width, add);
      }
}

TRN_REGISTER("pad", DType::u8, pad<uint8_t>);
TRN_REGISTER("pad", DType::u16, pad<uint16_t>);
TRN_REGISTER("pad", DType::u32, pad<uint32_t>);
TRN_REGISTER("pad", DType::u64, pad<uint64_t>);
TRN_REGISTER("pad", DType::c128, pad<unsigned __int128>);
TRN_REGISTER_REALS(pad_backward);
TRN_REGISTER_COMPLEX(pad_backward, pad_backward);

}  // namespace
}  // namespace trn
