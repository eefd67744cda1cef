// Convolutions: the copy of images to planes, and the products for the plain types.
#include "convolution_math.h"

namespace trn {
namespace {

// operands: planes [n, channels, plane_size] dense; image [n, channels, d, h, w]. More ints:
// padding[3], which may be negative: what is cut off. Items are blocks of 16 channels, so that an
// image that has its channels last is read whole lines at a time.
template <class U>
void conv_planes(const Call& call, const Range& range) {
  const Operand &planes = call.operand[0], &image = call.operand[1];
  const Axes geometry = axes_of(call);
  const auto& [d, h, w] = geometry.axis;
  const int64_t* padding = call.ints + kFirstFree;
  const int64_t channels = image.sizes[1], blocks = (channels + 15) / 16;
  const int64_t size = plane_size(geometry.axis);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t n = item / blocks, c0 = item % blocks * 16;
    const int64_t many = channels - c0 < 16 ? channels - c0 : 16;
    U* to = planes.as<U>() + (n * channels + c0) * size;
    const U* from = image.as<U>() + n * image.strides[0] + c0 * image.strides[1];
    const int64_t lines = size / w.grid;
    for (int64_t line = 0; line < lines; ++line) {
      // line = ((((rd * sh + rh) * sw + rw) * grid d) + id) * grid h + ih
      int64_t rest = line;
      const int64_t ih = rest % h.grid, id = (rest /= h.grid) % d.grid,
                    rw = (rest /= d.grid) % w.stride, rh = (rest /= w.stride) % h.stride,
                    rd = rest / h.stride;
      const int64_t z = id * d.stride + rd - padding[0], y = ih * h.stride + rh - padding[1];
      const int64_t x = rw - padding[2];
      const bool inside = z >= 0 && z < image.sizes[2] && y >= 0 && y < image.sizes[3];
      int64_t first = x < 0 ? (-x + w.stride - 1) / w.stride : 0;
      int64_t last = image.sizes[4] - x <= 0 ? 0 : (image.sizes[4] - x + w.stride - 1) / w.stride;
      last = !inside ? 0 : last < w.grid ? last : w.grid;
      first = first < last ? first : last;
      const int64_t step = w.stride * image.strides[4];
      for (int64_t c = 0; c < many; ++c) {
        U* row = to + c * size + line * w.grid;
        for (int64_t i = 0; i < first; ++i) row[i] = U(0);
        const U* source = from + c * image.strides[1] + z * image.strides[2] +
                          y * image.strides[3] + x * image.strides[4];
        if (step == 1 && last > first)
          __builtin_memcpy(row + first, source + first, (last - first) * sizeof(U));
        else
          for (int64_t i = first; i < last; ++i) row[i] = source[i * step];
        for (int64_t i = last; i < w.grid; ++i) row[i] = U(0);
      }
    }
  }
}

TRN_REGISTER("conv_planes", DType::u8, conv_planes<uint8_t>);
TRN_REGISTER("conv_planes", DType::u16, conv_planes<uint16_t>);
TRN_REGISTER("conv_planes", DType::u32, conv_planes<uint32_t>);
TRN_REGISTER("conv_planes", DType::u64, conv_planes<uint64_t>);

template <class S>
void convolution(const Call& c, const Range& r) {
  convolve<FloatMath<S>>(c, r);
}
template <class S>
void conv_weight_narrow(const Call& c, const Range& r) {
  weight_gradient_narrow<FloatMath<S>>(c, r);
}
TRN_REGISTER_FLOATS_BUT_DOT(convolution, convolution);
TRN_REGISTER("convolution", DType::i64, convolution<int64_t>);
TRN_REGISTER_FLOATS(conv_weight_narrow, conv_weight_narrow);

}  // namespace
}  // namespace trn
