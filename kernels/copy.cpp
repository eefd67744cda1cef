// Copies between any types and strides.
#include "blocks.h"
#include "move.h"
#include "walk.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

constexpr int64_t kConjugate = 1, kNegate = 2;

// Flips signs in place of n elements of floating or complex numbers.
template <class R>
void flip(R* p, int64_t step, int64_t n, int64_t flags, bool is_complex) {
  if (!is_complex) {
    if (flags & kNegate)
      for (int64_t i = 0; i < n; ++i) p[i * step] = -p[i * step];
    return;
  }
  const bool re = flags & kNegate, im = ((flags & kNegate) != 0) != ((flags & kConjugate) != 0);
  for (int64_t i = 0; i < n; ++i) {
    R* z = p + 2 * i * step;
    if (re) z[0] = -z[0];
    if (im) z[1] = -z[1];
  }
}

// A number of half precision, of which only the sign is looked at.
struct Half {
  uint16_t bits;
  Half operator-() const { return {static_cast<uint16_t>(bits ^ 0x8000)}; }
};

void flip_any(void* p, DType type, int64_t step, int64_t n, int64_t flags) {
  switch (type) {
    case DType::c32: return flip(static_cast<Half*>(p), step, n, flags, true);
    case DType::c64: return flip(static_cast<float*>(p), step, n, flags, true);
    case DType::c128: return flip(static_cast<double*>(p), step, n, flags, true);
    case DType::f32: return flip(static_cast<float*>(p), step, n, flags, false);
    case DType::f64: return flip(static_cast<double*>(p), step, n, flags, false);
    case DType::i64: return flip(static_cast<int64_t*>(p), step, n, flags, false);
    default:
      // Anything else is negated through double, which holds all of it.
      if (flags & kNegate)
        for (int64_t i = 0; i < n; ++i) {
          char* at = static_cast<char*>(p) + i * step * dtype_size(type);
          double x;
          convert_run(&x, DType::f64, 1, at, type, 1, 1);
          x = -x;
          convert_run(at, type, 1, &x, DType::f64, 1, 1);
        }
  }
}

// operands: dst of any type, src of any type, one shape. ints[0]: bit 0 conjugate, bit 1 negate.
// Items are elements, or shares of them.
void copy(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &src = call.operand[1];
  if (dst.dtype == src.dtype && !call.ints[0]) return move_elements(dst, src, call, range);
  Position p(dst, range.begin);
  for (int64_t left = range.end - range.begin; left > 0;) {
    const int64_t n = p.row_left() < left ? p.row_left() : left;
    char* to = p.address(dst);
    const int64_t step = p.step(dst);
    convert_run(to, dst.dtype, step, p.address(src), src.dtype, p.step(src), n);
    if (call.ints[0]) flip_any(to, dst.dtype, step, n, call.ints[0]);
    p.advance(n);
    left -= n;
  }
}

#define TRN_COPY(type) TRN_REGISTER("copy", DType::type, copy);
// clang-format off
TRN_COPY(u8) TRN_COPY(i8) TRN_COPY(i16) TRN_COPY(i32) TRN_COPY(i64) TRN_COPY(u16) TRN_COPY(u32)
TRN_COPY(u64) TRN_COPY(f16) TRN_COPY(f32) TRN_COPY(f64) TRN_COPY(bf16) TRN_COPY(b8) TRN_COPY(c32)
TRN_COPY(c64) TRN_COPY(c128) TRN_COPY(f8_e5m2) TRN_COPY(f8_e4m3fn) TRN_COPY(f8_e5m2fnuz)
TRN_COPY(f8_e4m3fnuz);
// clang-format on
#undef TRN_COPY

}  // namespace
}  // namespace trn
