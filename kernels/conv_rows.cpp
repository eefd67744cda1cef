// Images with their channels last and zeros around: what convolutions read.
#include "matmul_floats.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// `n` neighbouring positions of one channel, converted; zeros behind them.
template <class U, class S>
TRN_INLINE typename Vec<U>::Type load_positions(const S* p, int64_t n) {
  using V = typename Vec<U>::Type;
  constexpr int64_t kLanes = Vec<U>::kLanes;
  U x[kLanes] = {};
  if (n >= kLanes)
    for (int64_t i = 0; i < kLanes; ++i) x[i] = static_cast<U>(p[i]);
  else
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<U>(p[i]);
  V v;
  __builtin_memcpy(&v, x, sizeof v);
  return v;
}

// `n` positions of `channels` channels, `apart` from each other, to positions of `share` channels
// (those past `channels` zero), `line` from each other: squares that are transposed in registers.
template <class U, class S>
void turn(U* to, int64_t line, int64_t share, const S* from, int64_t apart, int64_t n,
          int64_t channels) {
  using V = typename Vec<U>::Type;
  constexpr int64_t kLanes = Vec<U>::kLanes;
  for (int64_t c = 0; c < share; c += kLanes)
    for (int64_t x = 0; x < n; x += kLanes) {
      V v[kLanes];
#pragma GCC unroll 32
      for (int64_t i = 0; i < kLanes; ++i)
        v[i] = c + i < channels ? load_positions<U>(from + (c + i) * apart + x, n - x) : V{};
      transpose<V, kLanes>(v);
      const int64_t wide = share - c < kLanes ? share - c : kLanes;
      for (int64_t i = 0; i < kLanes && x + i < n; ++i) {
        U* at = to + (x + i) * line + c;
        if (wide == kLanes)
          *reinterpret_cast<V*>(at) = v[i];
        else
          __builtin_memcpy(at, &v[i], wide * sizeof(U));
      }
    }
}

// The part of a line of the image that the copy has: `n` positions of all channels.
struct Part {
  const Operand& image;
  char* from;
  int64_t n, groups, each, share;  // channels of a group: in the image and in the copy

  template <class U, class S>
  void copy(U* to) const {
    constexpr DType kFrom = DTypeOf<S>::value, kTo = DTypeOf<U>::value;
    const int64_t line = groups * share, apart = image.strides[1], step = image.strides[4];
    const bool last = apart == 1 || image.sizes[1] == 1;
    const S* source = reinterpret_cast<const S*>(from);
    if (last && share == each && step == line)
      return convert_run(to, kTo, 1, source, kFrom, 1, n * line);
    for (int64_t g = 0; g < groups; ++g, to += share, source += each * apart) {
      if (!last && step == 1 && each >= Vec<U>::kLanes / 4) {
        turn<U, S>(to, line, share, source, apart, n, each);
        continue;
      }
      if (last)
        for (int64_t x = 0; x < n; ++x)
          convert_run(to + x * line, kTo, 1, source + x * step, kFrom, 1, each);
      else
        for (int64_t c = 0; c < each; ++c)
          convert_run(to + c, kTo, line, source + c * apart, kFrom, step, n);
      for (int64_t x = 0; x < n; ++x)
        for (int64_t c = each; c < share; ++c) to[x * line + c] = U{};
    }
  }
};

// operands: rows [n, d, h, w, groups * share] dense; image [n, channels, d, h, w] of any strides
// and of the same type or, for f32, a half. ints: the place of the image's first element in the
// rows along d, h, w, which may be negative; groups. Channels of a group take `share` places, the
// last of them zero, as is everything around the image. Items are lines of w positions.
template <class U>
void conv_rows(const Call& call, const Range& range) {
  const Operand &rows = call.operand[0], &image = call.operand[1];
  const int64_t *before = call.ints, groups = call.ints[3];
  const int64_t *size = rows.sizes + 1, line = rows.sizes[4], width = size[2] * line;
  const int64_t first = before[2] < 0 ? 0 : before[2] < size[2] ? before[2] : size[2];
  const int64_t end = before[2] + image.sizes[4] < size[2] ? before[2] + image.sizes[4] : size[2];
  Part part{image, nullptr, end - first, groups, image.sizes[1] / groups, line / groups};
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t n = item / (size[0] * size[1]);
    const int64_t z = item / size[1] % size[0] - before[0], y = item % size[1] - before[1];
    U* to = rows.as<U>() + item * width;
    if (z < 0 || z >= image.sizes[2] || y < 0 || y >= image.sizes[3] || part.n <= 0) {
      __builtin_memset(to, 0, width * sizeof(U));
      continue;
    }
    __builtin_memset(to, 0, first * line * sizeof(U));
    __builtin_memset(to + end * line, 0, (size[2] - end) * line * sizeof(U));
    const int64_t* s = image.strides;
    part.from = image.as<char>() + (n * s[0] + z * s[2] + y * s[3] + (first - before[2]) * s[4]) *
                                       dtype_size(image.dtype);
    to += first * line;
    if constexpr (__is_same(U, float)) {
      if (image.dtype == DType::f16) {
        part.copy<U, f16_t>(to);
        continue;
      }
      if (image.dtype == DType::bf16) {
        part.copy<U, bf16_t>(to);
        continue;
      }
    }
    part.copy<U, U>(to);
  }
}

TRN_REGISTER("conv_rows", DType::f32, conv_rows<float>);
TRN_REGISTER("conv_rows", DType::f64, conv_rows<double>);
TRN_REGISTER("conv_rows", DType::i64, conv_rows<int64_t>);
TRN_REGISTER("conv_rows", DType::bf16, conv_rows<uint16_t>);

}  // namespace
}  // namespace trn
