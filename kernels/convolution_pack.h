// The weight of a direct convolution in the order of its use.
#pragma once

#include "convolution_direct.h"

namespace trn {
namespace {

// One strip: kColumns channels of a group, a row of them for each unit of each run, zero where
// there is none.
template <class Math>
struct Pack {
  using S = typename Math::Source;
  using U = typename Math::Unit;
  using V = typename Direct<Math>::UV;
  static constexpr int64_t kPer = Math::kPer, kColumns = Direct<Math>::kColumns;
  static constexpr int kLanes = Direct<Math>::kLanes;

  const int64_t *size, *stride;  // of the weight: groups, channels, depth, kd, kh, kw
  bool joined, reversed;
  int64_t taps, depth, odd, rows;  // odd: what a run lacks to whole units

  Pack(const Call& call)
      : size(call.operand[1].sizes),
        stride(call.operand[1].strides),
        joined(call.ints[0]),
        reversed(call.ints[1]),
        taps(size[3] * size[4] * size[5]),
        depth(size[2]) {
    const int64_t length = joined ? size[5] * depth : depth;
    const int64_t units = Direct<Math>::units_of(length);
    odd = units * kPer - length;
    rows = (joined ? taps / size[5] : taps) * units;
  }

  // Adds the numbers of kLanes channels at a tap and a place of the depth.
  TRN_INLINE void put(U* to, int64_t tap, int64_t c, V v) const {
    const int64_t t = reversed ? taps - 1 - tap : tap;
    int64_t at = t * depth + c;
    if (odd) at += joined ? t / size[5] : t;
    V* row = reinterpret_cast<V*>(to + at / kPer * kColumns);
    if constexpr (kPer == 1) *row = v;
    else *row |= v << static_cast<U>(at % kPer * 16);
  }

  // As units of which only the first number is there.
  TRN_INLINE static V load(const S* p, int64_t step, int64_t n) {
    U x[kLanes] = {};
    if (step == 1 && n >= kLanes)
      for (int64_t i = 0; i < kLanes; ++i) x[i] = bits(p[i]);
    else
      for (int64_t i = 0; i < n && i < kLanes; ++i) x[i] = bits(p[i * step]);
    V v;
    __builtin_memcpy(&v, x, sizeof v);
    return v;
  }
  TRN_INLINE static U bits(S x) {
    if constexpr (kPer == 1) return x;
    else return x.bits;
  }

  // kLanes channels, of which n are there. Where the depth and the taps of a channel are one piece
  // of memory, squares of it are transposed.
  void channels(U* to, const S* from, int64_t n) const {
    const bool last = stride[2] == 1 || depth == 1;  // the depth comes last in memory
    const int64_t all = depth * taps, inner = last ? depth : taps;
    const bool lines =
        taps == 1 || (stride[5] == (last ? depth : 1) && stride[4] == size[5] * stride[5] &&
                      stride[3] == size[4] * stride[4]);
    const bool dense = lines && (last || stride[2] == taps);
    if (!dense || all < kLanes || stride[1] == 1) {
      for (int64_t c = 0; c < depth; ++c)
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t z = tap / size[5] / size[4], y = tap / size[5] % size[4];
          const S* at =
              from + c * stride[2] + z * stride[3] + y * stride[4] + tap % size[5] * stride[5];
          put(to, tap, c, load(at, stride[1], n));
        }
      return;
    }
    for (int64_t i = 0; i < all; i += kLanes) {
      if (all - i < kLanes) i = all - kLanes;  // some once more
      V v[kLanes];
#pragma GCC unroll 16
      for (int64_t j = 0; j < kLanes; ++j)
        v[j] = j < n ? load(from + j * stride[1] + i, 1, kLanes) : V{};
      transpose<V, kLanes>(v);
      int64_t high = i / inner, low = i % inner;
      for (int64_t j = 0; j < kLanes; ++j) {
        put(to, last ? high : low, last ? low : high, v[j]);
        if (++low == inner) low = 0, ++high;
      }
    }
  }
};

// operands: packed; weight [groups, channels, depth, kd, kh, kw] of any strides. ints: whether taps
// of a line are one run; whether the last tap comes first. Items are (group, kConvStrip channels).
template <class Math>
void conv_pack(const Call& call, const Range& range) {
  using U = typename Math::Unit;
  using P = Pack<Math>;
  const Operand& weight = call.operand[1];
  const Pack<Math> pack(call);
  const int64_t channels = weight.sizes[1], each = padded(channels);
  for (int64_t c = range.begin * kConvStrip; c < range.end * kConvStrip; c += P::kColumns) {
    const int64_t group = c / each, first = c % each;
    U* to = call.operand[0].as<U>() + c * pack.rows;
    __builtin_memset(to, 0, pack.rows * P::kColumns * sizeof(U));
    for (int64_t j = 0; j < P::kColumns && first + j < channels; j += P::kLanes)
      pack.channels(to + j,
                    weight.as<typename Math::Source>() + group * weight.strides[0] +
                        (first + j) * weight.strides[1],
                    channels - first - j);
  }
}

}  // namespace
}  // namespace trn
