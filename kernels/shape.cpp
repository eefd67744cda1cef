// Sequences, triangles and rolls: tensors made or rearranged by position alone.
#include "blocks.h"
#include "complex.h"
#include "copy_bytes.h"
#include "walk.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// Runs of the output filled with f(linear index), in T.
template <class T, class F>
TRN_INLINE void generate(const Call& call, const Range& range, F f) {
  const Operand& out = call.operand[0];
  T* buffer = reinterpret_cast<T*>(range.scratch);
  Position p(out, range.begin);
  for (int64_t i = range.begin; i < range.end;) {
    int64_t n = p.row_left() < range.end - i ? p.row_left() : range.end - i;
    n = n < kBlock ? n : kBlock;
    for (int64_t k = 0; k < n; ++k) buffer[k] = f(i + k);
    convert_run(p.address(out), out.dtype, p.step(out), buffer, DTypeOf<T>::value, 1, n);
    p.advance(n);
    i += n;
  }
}

// out[i] = start + i * step. Integers: ints[0], ints[1]; others: reals[0], reals[1].
void arange_i64(const Call& call, const Range& range) {
  const int64_t start = call.ints[0], step = call.ints[1];
  generate<int64_t>(call, range, [=](int64_t i) { return start + i * step; });
}
void arange_f64(const Call& call, const Range& range) {
  const double start = call.reals[0], step = call.reals[1];
  generate<double>(call, range, [=](int64_t i) { return start + step * static_cast<double>(i); });
}

// From both ends, so that the last element is exactly `end`. reals: start, end (each complex);
// base in reals[4] for powers where ints[0]. Items are elements of the whole sequence.
void linspace(const Call& call, const Range& range) {
  const int64_t steps = call.operand[0].numel();
  const double start = call.reals[0], end = call.reals[2], base = call.reals[4];
  const bool power = call.ints[0];
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  generate<double>(call, range, [=](int64_t i) {
    const double x = i < steps / 2 ? start + step * static_cast<double>(i)
                                   : end - step * static_cast<double>(steps - 1 - i);
    const double y = steps == 1 ? start : x;
    return power ? __builtin_pow(base, y) : y;
  });
}
void linspace_complex(const Call& call, const Range& range) {
  const int64_t steps = call.operand[0].numel();
  const double n = steps > 1 ? static_cast<double>(steps - 1) : 1;
  generate<c128_t>(call, range, [=](int64_t i) {
    const double t = static_cast<double>(i) / n;
    const c128_t z(call.reals[0] + (call.reals[2] - call.reals[0]) * t,
                   call.reals[1] + (call.reals[3] - call.reals[1]) * t);
    return call.ints[0] ? m_pow(c128_t(call.reals[4]), z) : z;
  });
}

// Keeps one triangle of matrices [batch, rows, columns], zero elsewhere. operands: out, in of one
// element size. ints[0]: diagonal, ints[1]: 1 for the upper one. Items are rows of all matrices.
template <class U>
void triangle(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  const int64_t rows = out.sizes[1], columns = out.sizes[2], diagonal = call.ints[0];
  const bool upper = call.ints[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t b = item / rows, r = item % rows;
    U* to = out.as<U>() + b * out.strides[0] + r * out.strides[1];
    const U* from = in.as<U>() + b * in.strides[0] + r * in.strides[1];
    // Columns [0, edge) are on the lower side.
    const int64_t beyond = r + diagonal + !upper;
    const int64_t edge = beyond < 0 ? 0 : beyond < columns ? beyond : columns;
    const int64_t begin = upper ? edge : 0, end = upper ? columns : edge;
    const bool dense = out.strides[2] == 1 && in.strides[2] == 1;
    if (dense) __builtin_memmove(to + begin, from + begin, (end - begin) * sizeof(U));
    else
      for (int64_t c = begin; c < end; ++c) to[c * out.strides[2]] = from[c * in.strides[2]];
    for (int64_t c = 0; c < begin; ++c) to[c * out.strides[2]] = U{};
    for (int64_t c = end; c < columns; ++c) to[c * out.strides[2]] = U{};
  }
}

// out[outer, (i + shift) mod size, inner] = in[outer, i, inner]. ints[0]: shift in [0, size).
// Items are outer * size rows.
template <class U>
void roll(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  const int64_t size = in.sizes[1], inner = in.sizes[2], shift = call.ints[0];
  const auto dense = [inner](const Operand& t) {
    return (inner == 1 || t.strides[2] == 1) && t.strides[1] == inner;
  };
  const bool together = dense(out) && dense(in);
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t o = item / size, i = item % size;
    const bool wraps = i >= size - shift;
    const int64_t j = i + shift - (wraps ? size : 0);
    U* to = out.as<U>() + o * out.strides[0] + j * out.strides[1];
    const U* from = in.as<U>() + o * in.strides[0] + i * in.strides[1];
    int64_t n = 1;
    if (together) {
      // Up to where rows wrap, or end.
      n = (wraps ? size : size - shift) - i;
      n = n < range.end - item ? n : range.end - item;
      copy_bytes(to, from, n * inner * static_cast<int64_t>(sizeof(U)));
    } else {
      for (int64_t k = 0; k < inner; ++k) to[k * out.strides[2]] = from[k * in.strides[2]];
    }
    item += n;
  }
}

// Repeats the index i repeats[i] times. operands: out i64 [total], ends (running sums of repeats).
// Items are indices.
void repeat_interleave(const Call& call, const Range& range) {
  const int64_t* ends = call.operand[1].as<int64_t>();
  for (int64_t i = range.begin; i < range.end; ++i)
    for (int64_t k = i ? ends[i - 1] : 0; k < ends[i]; ++k) call.operand[0].as<int64_t>()[k] = i;
}

#define TRN_BY_SIZE(name)                          \
  TRN_REGISTER(#name, DType::u8, name<uint8_t>);   \
  TRN_REGISTER(#name, DType::u16, name<uint16_t>); \
  TRN_REGISTER(#name, DType::u32, name<uint32_t>); \
  TRN_REGISTER(#name, DType::u64, name<uint64_t>); \
  TRN_REGISTER(#name, DType::c128, name<unsigned __int128>);
// clang-format off
TRN_BY_SIZE(triangle) TRN_BY_SIZE(roll);
// clang-format on
TRN_REGISTER("arange", DType::i64, arange_i64);
TRN_REGISTER("arange", DType::f64, arange_f64);
TRN_REGISTER("linspace", DType::f64, linspace);
TRN_REGISTER("linspace", DType::c128, linspace_complex);
TRN_REGISTER("repeat_interleave", DType::i64, repeat_interleave);

}  // namespace
}  // namespace trn
