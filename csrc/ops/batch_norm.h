// The passes over a batch that its normalisation is made of, for one process and for several.
#pragma once

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {

using Optional = std::optional<at::Tensor>;

inline bool given(const Optional& t) { return t && t->defined(); }

inline int64_t channels(const at::Tensor& t) { return t.size(1); }
inline int64_t per_channel(const at::Tensor& t) {
  return t.numel() / std::max<int64_t>(1, t.size(1));
}

// A tensor in the memory format that the kernels walk, as [outer, channels, inner].
struct Planes {
  at::Tensor tensor, planes;
  bool last;

  Planes(const at::Tensor& t, at::MemoryFormat format) : tensor(t.contiguous(format)) {
    const int64_t inner = c10::multiply_integers(t.sizes().slice(2));
    planes = tensor.reshape({t.size(0), t.size(1), inner});
    last = t.size(1) > 1 && planes.stride(1) == 1;
  }
  int64_t rows() const { return planes.size(0) * planes.size(2); }
  // Whether both passes over a channel can be made by one kernel, while it is in the cache.
  bool in_one() const {
    constexpr int64_t kShortest = 64;  // of planes that are worth a loop of their own
    const at::ScalarType t = tensor.scalar_type();
    return !last && tensor.numel() && planes.size(2) >= kShortest &&
           (t == at::kFloat || t == at::kBFloat16);
  }
};

// By channel the sums of grad (of x - pivot where it is undefined) and of grad times x - pivot
// (of its square). With `count` they are made mean and biased variance of `count` values.
std::pair<at::Tensor, at::Tensor> sums_by_channel(const Planes& in, const at::Tensor& grad,
                                                  const at::Tensor& pivot, int64_t count);

// Mean and biased variance of each channel, in the statistics' type; NaN where there is nothing.
std::pair<at::Tensor, at::Tensor> statistics(const Planes& in);

// x * scale + y * other + shift by channel, into out, which has x's layout; y may be undefined.
void affine(const at::Tensor& out, const Planes& x, const at::Tensor& scale,
            const at::Tensor& shift, const at::Tensor& y = {}, const at::Tensor& other = {});

// weight / deviation by channel; weight may be missing.
at::Tensor scale_of(const at::Tensor& invstd, const Optional& weight);

// (x - mean) / deviation * weight + bias by channel, into out, which has x's layout.
void normalise_by(const at::Tensor& out, const Planes& in, const at::Tensor& mean,
                  const at::Tensor& invstd, const Optional& weight, const Optional& bias);

// The gradient of a batch normalised by its own statistics, in out, which has the input's layout.
// scale as scale_of gives it; sum and dot: the sums of grad and of grad * (x - mean), both divided
// by the negated number of values a channel.
void input_gradient(const at::Tensor& out, const Planes& in, const Planes& grad,
                    const at::Tensor& mean, const at::Tensor& invstd, const at::Tensor& scale,
                    const at::Tensor& sum, const at::Tensor& dot);

}  // namespace trn::ops
