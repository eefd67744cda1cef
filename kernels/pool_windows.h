// Windows of pooling: where they lie in the input, and which of them a number of the input is in.
//
// Planes are [batch, channels, d, h, w] of any strides, with sizes of 1 in front for fewer
// dimensions. ints: kernel[3], stride[3], padding[3], dilation[3], then ints[12] adaptive (windows
// from the sizes alone), ints[13] count padding in averages, ints[14] divisor (0: the window's
// size), ints[15] columns of a strip (see pool_strips.h).
#pragma once

#include "kernel.h"

namespace trn {

// Most numbers of a row that a strip meets, which the operator sees to.
inline constexpr int64_t kLine = 1 << 15;

namespace {

struct Window {
  int64_t begin, end, step;
  int64_t padded;  // length with the padding that counts
};

TRN_INLINE Window window_of(const Call& call, int d, int64_t i, int64_t out, int64_t in) {
  if (call.ints[12]) {
    const int64_t begin = i * in / out, end = ((i + 1) * in + out - 1) / out;
    return {begin, end, 1, end - begin};
  }
  const int64_t kernel = call.ints[d], stride = call.ints[3 + d], padding = call.ints[6 + d],
                dilation = call.ints[9 + d];
  int64_t begin = i * stride - padding;
  int64_t end = begin + (kernel - 1) * dilation + 1;
  const int64_t limit = end < in + padding ? end : in + padding;
  const int64_t padded = limit - begin;
  while (begin < 0) begin += dilation;
  if (end > in) end = in;
  return {begin, end, dilation, padded};
}

// Windows [begin, end) may hold number i of the input; with dilation only those that `holds`.
struct Cover {
  int64_t begin, end;
};
TRN_INLINE Cover cover_of(const Call& call, int d, int64_t i, int64_t out, int64_t in) {
  if (call.ints[12]) return {i * out / in, ((i + 1) * out + in - 1) / in};
  const int64_t stride = call.ints[3 + d], last = i + call.ints[6 + d];
  const int64_t before = last - (call.ints[d] - 1) * call.ints[9 + d];
  const int64_t begin = before <= 0 ? 0 : (before + stride - 1) / stride, end = last / stride + 1;
  return {begin, end < out ? end : out};
}
TRN_INLINE bool holds(const Call& call, int d, int64_t window, int64_t i) {
  const int64_t dilation = call.ints[9 + d];
  return dilation <= 1 || (i + call.ints[6 + d] - window * call.ints[3 + d]) % dilation == 0;
}

// An average divides by the product of what counts along each dimension, times `divisor`.
TRN_INLINE int64_t counted(const Call& call, Window w) {
  if (call.ints[14]) return 1;
  return call.ints[13] ? w.padded : w.end - w.begin;
}
TRN_INLINE int64_t divisor(const Call& call) { return call.ints[14] ? call.ints[14] : 1; }

TRN_INLINE int64_t plane(const Operand& o, int64_t item) {
  return item / o.sizes[1] * o.strides[0] + item % o.sizes[1] * o.strides[1];
}

}  // namespace
}  // namespace trn
