// Fourier transforms over dimensions, one after the other.
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/real.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>

#include "ops/op.h"

namespace trn::ops {
namespace {

const Family fft("fft"), fft_chirp("fft_chirp");

enum Kind : int64_t { kComplex, kRealHalf, kRealWhole, kToReal };  // as in kernels/fft.cpp

c10::ScalarType real_type(const at::Tensor& t) { return at::toRealValueType(t.scalar_type()); }
c10::ScalarType complex_type(const at::Tensor& t) { return at::toComplexType(real_type(t)); }

// What a transform does besides: a factor on the result, and a turn of element k of line l by the
// angle of (l mod lines) k / period.
struct Extra {
  double scale = 1;
  int64_t period = 0, lines = 1;
};

// Factors of n that the kernel has passes for, fours first; empty if one is a larger prime.
std::vector<int64_t> factors_of(int64_t n) {
  std::vector<int64_t> factors;
  for (int64_t p : {4, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31})
    for (; n % p == 0; n /= p) factors.push_back(p);
  return n == 1 ? factors : std::vector<int64_t>{};
}

// Whether one launch transforms lines of n: two buffers and two tables have to fit its scratch.
bool fits(int64_t n, const at::Tensor& t) {
  const int64_t bytes = real_type(t) == at::kDouble ? 8 : 4;
  return n * bytes * 8 <= kScratchBytes && (n == 1 || !factors_of(n).empty());
}

// One launch: lines of `in` along its last dimension into those of `out`.
void transform_short(const at::Tensor& out, const at::Tensor& in, Kind kind, int64_t sign,
                     const Extra& extra) {
  const int64_t length = kind == kToReal ? out.size(-1) : in.size(-1);
  const bool packed = kind != kComplex && length % 2 == 0;
  const int64_t n = packed ? length / 2 : length, lines = in.numel() / in.size(-1);
  const int64_t cost = 8 * length * (1 + static_cast<int64_t>(std::log2(length)));
  Launch(fft, dtype_of(real_type(in)))
      .out(out)
      .in(in)
      .ints({kind, n, sign, extra.period, extra.lines})
      .ints(factors_of(n))
      .reals({extra.scale})
      .run(lines, grain_for(cost));
}

void transform(const at::Tensor& out, const at::Tensor& in, Kind kind, int64_t sign, double scale);

// n = n1 n2: transforms of length n1 at distance n2, a turn, transforms of length n2.
void transform_in_two(const at::Tensor& out, const at::Tensor& in, int64_t n1, int64_t sign,
                      double scale) {
  const int64_t n = in.size(-1), n2 = n / n1;
  const at::Tensor middle = at::empty({in.size(0), n1, n2}, out.options());
  transform_short(middle.transpose(1, 2), in.unflatten(1, {n1, n2}).transpose(1, 2), kComplex, sign,
                  {1, n, n2});
  transform_short(out.unflatten(1, {n2, n1}).transpose(1, 2), middle, kComplex, sign, {scale});
}

// Any length as a convolution with a chirp (Bluestein), by transforms of a power of two.
void transform_by_chirp(const at::Tensor& out, const at::Tensor& in, int64_t sign, double scale) {
  const int64_t n = in.size(-1);
  int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  const at::Tensor chirp = at::empty({n}, out.options());
  Launch(fft_chirp, dtype_of(real_type(in))).out(chirp).ints({sign}).run(n, grain_for(40));
  at::Tensor wave = at::zeros({1, m}, out.options()), a = at::zeros({in.size(0), m}, out.options());
  const at::Tensor back = chirp.conj_physical();
  wave.narrow(1, 0, n).copy_(back);
  wave.narrow(1, m - n + 1, n - 1).copy_(back.slice(0, 1).flip(0));
  a.narrow(1, 0, n).copy_(at::mul(in, chirp));
  transform(wave, wave, kComplex, -1, 1);
  transform(a, a, kComplex, -1, 1);
  a.mul_(wave);
  transform(a, a, kComplex, 1, scale / static_cast<double>(m));
  out.copy_(at::mul(a.narrow(1, 0, n), chirp));
}

// Complex lines [lines, n] of a length that one launch does not do.
void transform_long(const at::Tensor& out, const at::Tensor& in, int64_t sign, double scale) {
  const int64_t n = in.size(-1);
  // The factor nearest to the root that leaves two lengths that fit.
  for (int64_t n1 = static_cast<int64_t>(std::sqrt(static_cast<double>(n))) + 1;
       n1 > 1 && !factors_of(n).empty(); --n1)
    if (n % n1 == 0 && fits(n1, in) && fits(n / n1, in))
      return transform_in_two(out, in, n1, sign, scale);
  transform_by_chirp(out, in, sign, scale);
}

// Lines along the last dimension of any length. `out` may be `in`.
void transform(const at::Tensor& out, const at::Tensor& in, Kind kind, int64_t sign, double scale) {
  if (out.numel() == 0) return;
  const int64_t length = kind == kToReal ? out.size(-1) : in.size(-1);
  if (in.dim() <= kMaxDims && fits(length, in))
    return transform_short(out, in, kind, sign, {scale});
  // The whole spectrum of complex lines, however it is read and written.
  at::Tensor lines = in.reshape({-1, in.size(-1)}).to(complex_type(in));
  if (kind == kToReal) {
    const at::Tensor half = lines;
    const int64_t others = length - 1 - length / 2;
    lines = at::empty({half.size(0), length}, half.options());
    lines.narrow(1, 0, length / 2 + 1).copy_(half.narrow(1, 0, length / 2 + 1));
    lines.narrow(1, length - others, others).copy_(half.narrow(1, 1, others).flip(1).conj());
    at::imag(lines).select(1, 0).zero_();
    if (length % 2 == 0) at::imag(lines).select(1, length / 2).zero_();
  }
  const at::Tensor result = at::empty(lines.sizes(), lines.options());
  transform_long(result, lines, sign, scale);
  at::Tensor target = out;
  if (kind == kToReal) target.copy_(at::real(result).view(out.sizes()));
  else target.copy_(result.narrow(1, 0, out.size(-1)).reshape(out.sizes()));
}

double scale_for(int64_t normalization, double elements) {
  switch (normalization) {
    case 1: return 1 / std::sqrt(elements);
    case 2: return 1 / elements;
    default: return 1;
  }
}

double product(const at::Tensor& t, at::IntArrayRef dims) {
  double n = 1;
  for (int64_t d : dims) n *= static_cast<double>(t.size(d));
  return n;
}

// Transforms along one dimension, as lines.
void along(const at::Tensor& out, const at::Tensor& in, int64_t dim, Kind kind, int64_t sign,
           double scale) {
  transform(out.movedim(dim, -1), in.movedim(dim, -1), kind, sign, scale);
}

// Complex transforms of `in` along dims, the last first, into out; nothing for no dims.
void along_all(const at::Tensor& out, at::Tensor in, at::IntArrayRef dims, int64_t sign,
               double scale) {
  for (size_t i = dims.size(); i-- > 0;) {
    along(out, in, dims[i], kComplex, sign, i == 0 ? scale : 1);
    in = out;
  }
}

bool is_half(at::ScalarType type) { return type == at::kHalf || type == at::kComplexHalf; }
at::Tensor wider(const at::Tensor& t) {
  return t.to(t.is_complex() ? at::kComplexFloat : at::kFloat);
}
at::Tensor half_of(const at::Tensor& t) {
  return t.to(t.is_complex() ? at::kComplexHalf : at::kHalf);
}

// torch.fft's functions: PyTorch takes float16 for CUDA only, so it is given float32 for it here.
void transform_any(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  c10::IValue& self = (*stack)[stack->size() - op.schema().arguments().size()];
  const bool half = is_half(self.toTensor().scalar_type());
  if (half) self = wider(self.toTensor());
  op.callBoxedForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd, *stack);
  if (half) stack->back() = half_of(stack->back().toTensor());
}

constexpr const char* kFunctions[] = {
    "fft_fft",  "fft_ifft",  "fft_rfft",  "fft_irfft",  "fft_hfft",  "fft_ihfft",
    "fft_fft2", "fft_ifft2", "fft_rfft2", "fft_irfft2", "fft_hfft2", "fft_ihfft2",
    "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "fft_hfftn", "fft_ihfftn"};
void take_functions(torch::Library& m) {
  for (const char* name : kFunctions)
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&transform_any>());
}
TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) { take_functions(m); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) { take_functions(m); }

at::Tensor& give(at::Tensor& out, const at::Tensor& result) {
  at::native::resize_output(out, result.sizes());
  return out.copy_(result);
}

}  // namespace

at::Tensor TRN_OP(_fft_c2c)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                            bool forward) {
  if (dim.empty()) return self.clone();
  if (is_half(self.scalar_type()))
    return half_of(ops::_fft_c2c(wider(self), dim, normalization, forward));
  const at::Tensor out = at::empty(self.sizes(), self.options());
  along_all(out, self, dim, forward ? -1 : 1, scale_for(normalization, product(self, dim)));
  return out;
}

at::Tensor TRN_OP(_fft_r2c)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                            bool onesided) {
  if (is_half(self.scalar_type()))
    return half_of(ops::_fft_r2c(wider(self), dim, normalization, onesided));
  const int64_t last = dim.back();
  std::vector<int64_t> sizes = self.sizes().vec();
  if (onesided) sizes[last] = sizes[last] / 2 + 1;
  const at::Tensor out = at::empty(sizes, self.options().dtype(complex_type(self)));
  const double scale = scale_for(normalization, product(self, dim));
  const auto others = dim.slice(0, dim.size() - 1);
  along(out, self, last, onesided ? kRealHalf : kRealWhole, -1, others.empty() ? scale : 1);
  along_all(out, out, others, -1, scale);
  return out;
}

at::Tensor TRN_OP(_fft_c2r)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                            int64_t last_dim_size) {
  if (is_half(self.scalar_type()))
    return half_of(ops::_fft_c2r(wider(self), dim, normalization, last_dim_size));
  const int64_t last = dim.back();
  std::vector<int64_t> sizes = self.sizes().vec();
  sizes[last] = last_dim_size;
  const at::Tensor out = at::empty(sizes, self.options().dtype(real_type(self)));
  const auto others = dim.slice(0, dim.size() - 1);
  at::Tensor in = self;
  if (!others.empty()) {
    in = at::empty(self.sizes(), self.options());
    along_all(in, self, others, 1, 1);
  }
  along(out, in, last, kToReal, 1, scale_for(normalization, product(out, dim)));
  return out;
}

at::Tensor& TRN_OP(_fft_c2c_out)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                                 bool forward, at::Tensor& out) {
  return give(out, ops::_fft_c2c(self, dim, normalization, forward));
}
at::Tensor& TRN_OP(_fft_r2c_out)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                                 bool onesided, at::Tensor& out) {
  const at::Tensor result = ops::_fft_r2c(self, dim, normalization, onesided);
  return give(out, result);
}
at::Tensor& TRN_OP(_fft_c2r_out)(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization,
                                 int64_t last_dim_size, at::Tensor& out) {
  return give(out, ops::_fft_c2r(self, dim, normalization, last_dim_size));
}

}  // namespace trn::ops
