// Images with their channels last and zeros around: what convolutions read.
#include "matmul_floats.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// What is transposed: numbers, or pairs of 16-bit numbers of two channels.
template <class U>
struct Square {
  using Word = U;
  static constexpr int64_t kChannels = 1;  // of a word
};
template <>
struct Square<uint16_t> {
  using Word = uint32_t;
  static constexpr int64_t kChannels = 2;
};

// A vector of neighbouring positions of the channel at p, converted, or of it and the next one,
// `apart`, if there is one.
template <class U, class S>
TRN_INLINE typename Vec<typename Square<U>::Word>::Type load_positions(const S* p, int64_t apart,
                                                                       bool next) {
  using Word = typename Square<U>::Word;
  constexpr int kLanes = Vec<Word>::kLanes;
  typename Vec<Word>::Type v;
  if constexpr (sizeof(Word) == sizeof(S)) {
    __builtin_memcpy(&v, p, sizeof v);
  } else {
    Word x[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = static_cast<Word>(p[i]);
    if constexpr (Square<U>::kChannels == 2)
      if (next)
        for (int i = 0; i < kLanes; ++i) x[i] |= static_cast<Word>(p[apart + i]) << 16;
    __builtin_memcpy(&v, x, sizeof v);
  }
  return v;
}

// A box of an image and where it goes: `lines` lines of `wide` positions of all channels.
struct Box {
  const Operand& image;
  int64_t channels, lines, wide, pitch;  // pitch: positions between lines of the copy

  // `count` positions whose lines follow each other without a gap: squares are transposed in
  // registers.
  template <class U, class S>
  void turn(U* to, const S* from, int64_t count) const {
    using Word = typename Square<U>::Word;
    using V = typename Vec<Word>::Type;
    constexpr int64_t kLanes = Vec<Word>::kLanes, kEach = Square<U>::kChannels;
    const int64_t apart = image.strides[1];
    for (int64_t c = 0; c < channels; c += kLanes * kEach) {
      const int64_t left = channels - c;
      const int64_t bytes = (left < kLanes * kEach ? left : kLanes * kEach) * sizeof(U);
      for (int64_t x = 0; x < count; x += kLanes) {
        if (count - x < kLanes) x = count - kLanes;  // some positions once more
        V v[kLanes];
#pragma GCC unroll 16
        for (int64_t i = 0; i < kLanes; ++i)
          v[i] = i * kEach < left ? load_positions<U>(from + (c + i * kEach) * apart + x, apart,
                                                      i * kEach + 1 < left)
                                  : V{};
        transpose<V, kLanes>(v);
        int64_t column = x % wide;
        U* at = to + (x / wide * pitch + column) * channels + c;
        for (int64_t i = 0; i < kLanes; ++i) {
          if (bytes == sizeof(V)) *reinterpret_cast<V*>(at) = v[i];
          else __builtin_memcpy(at, &v[i], bytes);
          at += channels;
          if (++column == wide) column = 0, at += (pitch - wide) * channels;
        }
      }
    }
  }

  template <class U, class S>
  void copy_line(U* to, const S* from) const {
    constexpr DType kFrom = DTypeOf<S>::value, kTo = DTypeOf<U>::value;
    const int64_t apart = image.strides[1], step = image.strides[4];
    const bool last = apart == 1 || channels == 1;
    if (last && step == channels) convert_run(to, kTo, 1, from, kFrom, 1, wide * channels);
    else if (last && channels >= Vec<U>::kLanes)
      for (int64_t x = 0; x < wide; ++x)
        convert_run(to + x * channels, kTo, 1, from + x * step, kFrom, 1, channels);
    else
      for (int64_t c = 0; c < channels; ++c)
        convert_run(to + c, kTo, channels, from + c * apart, kFrom, step, wide);
  }

  template <class U, class S>
  void copy(U* to, const void* source) const {
    const S* from = static_cast<const S*>(source);
    const int64_t line = image.strides[3];
    const bool whole = line == wide;  // lines that follow each other
    const int64_t count = whole ? lines * wide : wide;
    const bool dense = image.strides[4] == 1 && count >= Vec<U>::kLanes;
    if (dense && channels >= Vec<U>::kLanes / 4)
      for (int64_t y = 0; y < (whole ? 1 : lines); ++y)
        turn(to + y * pitch * channels, from + y * line, count);
    else
      for (int64_t y = 0; y < lines; ++y) copy_line(to + y * pitch * channels, from + y * line);
  }
};

// operands: rows [n, d, h, w, channels] dense; image [n, channels, d, h, w] of any strides and of
// the same type or, for f32, a half. ints: the place of the image's first element in the rows along
// d, h, w, which may be negative; lines of an item. Around the image is zero. Items are (n, d,
// lines of h): several, so that more than one line is read of a channel whose positions are dense.
template <class U>
void conv_rows(const Call& call, const Range& range) {
  const Operand &rows = call.operand[0], &image = call.operand[1];
  const int64_t *before = call.ints, many = call.ints[3];
  const int64_t *size = rows.sizes + 1, line = rows.sizes[4], width = size[2] * line;
  const auto clamp = [](int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x < high ? x : high;
  };
  const int64_t first = clamp(before[2], 0, size[2]);
  const int64_t end = clamp(before[2] + image.sizes[4], first, size[2]);
  const int64_t blocks = (size[1] + many - 1) / many;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t plane = item / blocks, n = plane / size[0], z = plane % size[0] - before[0];
    const int64_t low = item % blocks * many, high = size[1] - low < many ? size[1] : low + many;
    // Lines [top, bottom) are inside the image.
    const bool inside = z >= 0 && z < image.sizes[2] && first < end;
    const int64_t top = inside ? clamp(before[1], low, high) : high;
    const int64_t bottom = inside ? clamp(before[1] + image.sizes[3], top, high) : high;
    U* to = rows.as<U>() + plane * size[1] * width;
    for (int64_t y = low; y < high; ++y) {
      const bool full = y < top || y >= bottom;
      __builtin_memset(to + y * width, 0, (full ? size[2] : first) * line * sizeof(U));
      if (!full)
        __builtin_memset(to + y * width + end * line, 0, (size[2] - end) * line * sizeof(U));
    }
    if (top == bottom) continue;
    const Box box{image, line, bottom - top, end - first, size[2]};
    const int64_t* s = image.strides;
    const char* from = image.as<char>() + (n * s[0] + z * s[2] + (top - before[1]) * s[3] +
                                           (first - before[2]) * s[4]) *
                                              dtype_size(image.dtype);
    to += top * width + first * line;
    if constexpr (__is_same(U, float)) {
      if (image.dtype == DType::f16) {
        box.copy<U, f16_t>(to, from);
        continue;
      }
      if (image.dtype == DType::bf16) {
        box.copy<U, bf16_t>(to, from);
        continue;
      }
    }
    box.copy<U, U>(to, from);
  }
}

TRN_REGISTER("conv_rows", DType::f32, conv_rows<float>);
TRN_REGISTER("conv_rows", DType::f64, conv_rows<double>);
TRN_REGISTER("conv_rows", DType::i64, conv_rows<int64_t>);
TRN_REGISTER("conv_rows", DType::f16, conv_rows<uint16_t>);
TRN_REGISTER("conv_rows", DType::bf16, conv_rows<uint16_t>);

}  // namespace
}  // namespace trn
