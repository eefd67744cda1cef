// im2col and col2im: the windows of an image as columns of a matrix, and their sum back into it.
// One, two and three dimensions are three, with sizes of 1 in front.
//
// ints: kernel[3], stride[3], padding[3], dilation[3], output size[3].
#include "blocks.h"

namespace trn {
namespace {

struct Geometry {
  int64_t kernel[3], stride[3], padding[3], dilation[3], out[3];
};
TRN_INLINE Geometry geometry_of(const Call& call) {
  Geometry g;
  __builtin_memcpy(&g, call.ints, sizeof(g));
  return g;
}

// The first and one past the last output position whose input lies inside [0, size).
TRN_INLINE void inside(int64_t offset, int64_t stride, int64_t size, int64_t out, int64_t* first,
                       int64_t* last) {
  const int64_t low = offset < 0 ? (-offset + stride - 1) / stride : 0;
  const int64_t high = size - offset <= 0 ? 0 : (size - offset + stride - 1) / stride;
  *last = high < out ? high : out;
  *first = low < *last ? low : *last;
}

// operands: col [channels * kernel volume, batch, output volume] of dense volumes, in [batch,
// channels, d, h, w]. Items are (row of col, batch).
template <class U>
void im2col(const Call& call, const Range& range) {
  const Operand &col = call.operand[0], &in = call.operand[1];
  const Geometry g = geometry_of(call);
  const int64_t batch = in.sizes[0];
  const int64_t kernel = g.kernel[0] * g.kernel[1] * g.kernel[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t row = item / batch, n = item % batch;
    int64_t k = row % kernel;
    const int64_t kw = k % g.kernel[2], kh = k / g.kernel[2] % g.kernel[1],
                  kd = k / g.kernel[2] / g.kernel[1];
    const U* plane = in.as<U>() + n * in.strides[0] + row / kernel * in.strides[1];
    U* to = col.as<U>() + row * col.strides[0] + n * col.strides[1];
    const int64_t ow = kw * g.dilation[2] - g.padding[2];
    int64_t first, last;
    inside(ow, g.stride[2], in.sizes[4], g.out[2], &first, &last);
    for (int64_t d = 0; d < g.out[0]; ++d)
      for (int64_t h = 0; h < g.out[1]; ++h, to += g.out[2]) {
        const int64_t id = d * g.stride[0] + kd * g.dilation[0] - g.padding[0];
        const int64_t ih = h * g.stride[1] + kh * g.dilation[1] - g.padding[1];
        if (id < 0 || id >= in.sizes[2] || ih < 0 || ih >= in.sizes[3]) {
          __builtin_memset(to, 0, g.out[2] * sizeof(U));
          continue;
        }
        const U* line = plane + id * in.strides[2] + ih * in.strides[3] + ow * in.strides[4];
        const int64_t step = g.stride[2] * in.strides[4];
        __builtin_memset(to, 0, first * sizeof(U));
        if (step == 1) __builtin_memcpy(to + first, line + first, (last - first) * sizeof(U));
        else
          for (int64_t w = first; w < last; ++w) to[w] = line[w * step];
        __builtin_memset(to + last, 0, (g.out[2] - last) * sizeof(U));
      }
  }
}

// The sum of all columns' elements at their places. operands: in [batch, channels, d, h, w] dense,
// col as above. Items are planes (batch, channel); a plane's additions have one order.
template <class T>
void col2im(const Call& call, const Range& range) {
  const Operand &in = call.operand[0], &col = call.operand[1];
  const Geometry g = geometry_of(call);
  const int64_t channels = in.sizes[1];
  const int64_t plane = in.sizes[2] * in.sizes[3] * in.sizes[4];
  const int64_t kernel = g.kernel[0] * g.kernel[1] * g.kernel[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t n = item / channels, c = item % channels;
    T* to = in.as<T>() + item * plane;
    __builtin_memset(to, 0, plane * sizeof(T));
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t kw = k % g.kernel[2], kh = k / g.kernel[2] % g.kernel[1],
                    kd = k / g.kernel[2] / g.kernel[1];
      const T* from = col.as<T>() + (c * kernel + k) * col.strides[0] + n * col.strides[1];
      const int64_t ow = kw * g.dilation[2] - g.padding[2];
      int64_t first, last;
      inside(ow, g.stride[2], in.sizes[4], g.out[2], &first, &last);
      for (int64_t d = 0; d < g.out[0]; ++d)
        for (int64_t h = 0; h < g.out[1]; ++h, from += g.out[2]) {
          const int64_t id = d * g.stride[0] + kd * g.dilation[0] - g.padding[0];
          const int64_t ih = h * g.stride[1] + kh * g.dilation[1] - g.padding[1];
          if (id < 0 || id >= in.sizes[2] || ih < 0 || ih >= in.sizes[3]) continue;
          T* line = to + (id * in.sizes[3] + ih) * in.sizes[4] + ow;
          for (int64_t w = first; w < last; ++w) line[w * g.stride[2]] += from[w];
        }
    }
  }
}

TRN_REGISTER("im2col", DType::u8, im2col<uint8_t>);
TRN_REGISTER("im2col", DType::u16, im2col<uint16_t>);
TRN_REGISTER("im2col", DType::u32, im2col<uint32_t>);
TRN_REGISTER("im2col", DType::u64, im2col<uint64_t>);
TRN_REGISTER("im2col", DType::c128, im2col<unsigned __int128>);
TRN_REGISTER_REALS(col2im);

}  // namespace
}  // namespace trn
