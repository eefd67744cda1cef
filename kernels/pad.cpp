// Padding by reflection or by repeating the edge, and its gradient; three dimensions, with sizes
// of 1 in front for fewer.
//
// Planes are [batch, channels, d, h, w] of any strides; items are planes. ints: padding before
// each dimension [3], ints[3]: 1 to reflect, 0 to repeat the edge.
#include "blocks.h"
#include "complex_arithmetic.h"

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

// Calls f(padded offset, source offset) for every element of a padded plane.
template <class F>
TRN_INLINE void each_element(const Call& call, const Operand& padded, const Operand& source,
                             int64_t item, F f) {
  const bool reflect = call.ints[3];
  const int64_t n = item / padded.sizes[1], c = item % padded.sizes[1];
  const int64_t to = n * padded.strides[0] + c * padded.strides[1];
  const int64_t from = n * source.strides[0] + c * source.strides[1];
  for (int64_t d = 0; d < padded.sizes[2]; ++d) {
    const int64_t sd = source_of(d, call.ints[0], source.sizes[2], reflect);
    for (int64_t h = 0; h < padded.sizes[3]; ++h) {
      const int64_t sh = source_of(h, call.ints[1], source.sizes[3], reflect);
      const int64_t row = to + d * padded.strides[2] + h * padded.strides[3];
      const int64_t source_row = from + sd * source.strides[2] + sh * source.strides[3];
      for (int64_t w = 0; w < padded.sizes[4]; ++w)
        f(row + w * padded.strides[4],
          source_row + source_of(w, call.ints[2], source.sizes[4], reflect) * source.strides[4]);
    }
  }
}

// operands: padded, source.
template <class U>
void pad(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item)
    each_element(call, out, in, item,
                 [&](int64_t to, int64_t from) { out.as<U>()[to] = in.as<U>()[from]; });
}

// operands: gradient of the source (zeroed), of the padded. A plane's additions have one order.
template <class T>
void pad_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item)
    each_element(call, grad, out, item, [&](int64_t from, int64_t to) {
      out.as<T>()[to] = out.as<T>()[to] + grad.as<T>()[from];
    });
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
