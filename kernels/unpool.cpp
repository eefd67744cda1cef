// Maxima back at their places, and pooling over windows at random places.
#include "convert.h"
#include "math.h"

namespace trn {
namespace {

// operands: out [planes, volume] dense, zeroed; in, indices [planes, n] dense, i64 into a plane. Of
// several values for one place the last stays. Items are planes.
template <class U>
void max_unpool(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1], &indices = call.operand[2];
  const int64_t volume = out.sizes[1], n = in.sizes[1];
  for (int64_t plane = range.begin; plane < range.end; ++plane) {
    U* to = out.as<U>() + plane * volume;
    for (int64_t i = plane * n; i < (plane + 1) * n; ++i) {
      const int64_t at = indices.as<int64_t>()[i];
      if (at >= 0 && at < volume) to[at] = in.as<U>()[i];
      else range.fault->report(FaultKind::index_out_of_range, at, volume);
    }
  }
}

TRN_REGISTER("max_unpool", DType::u8, max_unpool<uint8_t>);
TRN_REGISTER("max_unpool", DType::u16, max_unpool<uint16_t>);
TRN_REGISTER("max_unpool", DType::u32, max_unpool<uint32_t>);
TRN_REGISTER("max_unpool", DType::u64, max_unpool<uint64_t>);

// Where window i of `out` begins for a random sample in [0, 1): the last one ends at the edge.
template <class T>
TRN_INLINE int64_t window_begin(int64_t i, T sample, int64_t in, int64_t out, int64_t window) {
  if (i + 1 == out) return in - window;
  const T step = static_cast<T>(in - window) / static_cast<T>(out - 1);
  return static_cast<int64_t>((static_cast<T>(i) + sample) * step) -
         static_cast<int64_t>(sample * step);
}

// operands: out, indices i64 into a plane [batch, channels, d, h, w] dense; in of any strides,
// samples [batch, channels, 3] of any strides, one a dimension. ints: window[3]. Items are planes.
template <class T>
void fractional_max_pool(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &indices = call.operand[1], &in = call.operand[2],
                &samples = call.operand[3];
  const int64_t* window = call.ints;
  const int64_t volume = out.sizes[2] * out.sizes[3] * out.sizes[4];
  for (int64_t plane = range.begin; plane < range.end; ++plane) {
    const int64_t n = plane / out.sizes[1], c = plane % out.sizes[1];
    const T* from = in.as<T>() + n * in.strides[0] + c * in.strides[1];
    const T* sample = samples.as<T>() + n * samples.strides[0] + c * samples.strides[1];
    const auto begin = [&](int d, int64_t i) {
      return window_begin(i, sample[d * samples.strides[2]], in.sizes[2 + d], out.sizes[2 + d],
                          window[d]);
    };
    for (int64_t i = 0; i < volume; ++i) {
      const int64_t d0 = begin(0, i / out.sizes[4] / out.sizes[3]),
                    h0 = begin(1, i / out.sizes[4] % out.sizes[3]), w0 = begin(2, i % out.sizes[4]);
      T best = -infinity<T>();
      int64_t at = (d0 * in.sizes[3] + h0) * in.sizes[4] + w0;
      for (int64_t d = d0; d < d0 + window[0]; ++d)
        for (int64_t h = h0; h < h0 + window[1]; ++h)
          for (int64_t w = w0; w < w0 + window[2]; ++w) {
            const T x = from[d * in.strides[2] + h * in.strides[3] + w * in.strides[4]];
            if (x > best || x != x) {
              best = x;
              at = (d * in.sizes[3] + h) * in.sizes[4] + w;
            }
          }
      out.as<T>()[plane * volume + i] = best;
      indices.as<int64_t>()[plane * volume + i] = at;
    }
  }
}

TRN_REGISTER_REALS(fractional_max_pool);

}  // namespace
}  // namespace trn
