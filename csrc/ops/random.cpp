// Random fills, dropout, sampling: the generator gives a seed and an offset, kernels the numbers.
#include <ATen/Dispatch.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/UnaryOps.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros_like.h>

#include "base/spoken.h"
#include "ops/elementwise.h"
#include "ops/op.h"
#include "runtime/generator.h"

namespace trn::ops {
namespace {

using Generator = std::optional<at::Generator>;
constexpr int64_t kPhiloxCost = 16;

const Family uniform("uniform"), normal("normal"), exponential("exponential"), cauchy("cauchy"),
    geometric("geometric"), log_normal("log_normal"), random_integers("random_integers"),
    bernoulli("bernoulli"), dropout("dropout"), randperm_scatter("randperm_scatter"),
    randperm_shuffle("randperm_shuffle");

// Numbers for every element of an iterator's output. One position an element, one offset a launch.
void fill(at::TensorIteratorBase& iter, const Family& family, DType type,
          const Generator& generator, std::initializer_list<int64_t> ints,
          std::initializer_list<double> reals) {
  if (iter.numel() == 0) return;
  const auto [seed, offset] = runtime::reserve(generator, iterator_device(iter), 4);
  launch(
      iter, family, type,
      [&, seed = seed, offset = offset](Launch& l) {
        l.ints({static_cast<int64_t>(seed), static_cast<int64_t>(offset)}).ints(ints).reals(reals);
        if (family.name() == bernoulli.name()) l.may_fault();
      },
      kPhiloxCost);
}

template <const Family& family>
void two_parameters(at::TensorIteratorBase& iter, double a, double b, Generator g) {
  fill(iter, family, compute_type(iter.dtype()), g, {}, {a, b});
}
template <const Family& family>
void one_parameter(at::TensorIteratorBase& iter, double a, Generator g) {
  // Integers get their numbers from doubles, which reach all of them.
  const bool integral = at::isIntegralType(iter.dtype(), true);
  fill(iter, family, integral ? DType::f64 : compute_type(iter.dtype()), g, {}, {a, 0});
}

void exponential_kernel(at::TensorIteratorBase& iter, double rate, Generator g) {
  TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(iter.dtype()), "\"exponential_", spoken_device(),
                              "\" not implemented for '", toString(iter.dtype()), "'");
  one_parameter<exponential>(iter, rate, g);
}

void uniform_kernel(at::TensorIteratorBase& iter, double from, double to, Generator g) {
  fill(iter, uniform, compute_type(iter.dtype()), g, {}, {from, to});
}

void normal_kernel(const at::TensorBase& self, double mean, double deviation, Generator g) {
  auto iter = at::TensorIterator::borrowing_nullary_op(self);
  fill(iter, normal, compute_type(self.scalar_type()), g, {}, {mean, deviation});
}

void random_from_to(at::TensorIteratorBase& iter, uint64_t range, int64_t base, Generator g) {
  fill(iter, random_integers, DType::i64, g, {static_cast<int64_t>(range), base}, {});
}
void random_full(at::TensorIteratorBase& iter, Generator g) {
  fill(iter, random_integers, DType::i64, g, {0, 0}, {});
}
// Every integer the type holds exactly, from 0.
void random_default(at::TensorIteratorBase& iter, Generator g) {
  int64_t span = 0;
  switch (iter.dtype()) {
    case at::kDouble: span = (1ll << 53) + 1; break;
    case at::kFloat: span = (1ll << 24) + 1; break;
    case at::kHalf: span = (1ll << 11) + 1; break;
    case at::kBFloat16: span = (1ll << 8) + 1; break;
    case at::kBool: span = 2; break;
    case at::kByte: span = 256; break;
    case at::kChar: span = 128; break;
    case at::kShort: span = 32768; break;
    case at::kInt: span = 1ll << 31; break;
    default: span = INT64_MAX;
  }
  fill(iter, random_integers, DType::i64, g, {span, 0}, {});
}

void bernoulli_scalar(const at::TensorBase& self, double p, Generator g) {
  auto iter = at::TensorIterator::borrowing_nullary_op(self);
  fill(iter, bernoulli, DType::f64, g, {}, {p});
}
void bernoulli_tensor(const at::TensorBase& self, const at::TensorBase& p, Generator g) {
  auto iter = at::TensorIteratorConfig()
                  .add_output(self)
                  .add_const_input(p)
                  .check_all_same_dtype(false)
                  .build();
  fill(iter, bernoulli, DType::f64, g, {}, {0});
}

// Row by row: where a uniform number falls in the cumulative distribution.
void multinomial_with_replacement(at::Tensor& result, const at::Tensor& self, int64_t n_sample,
                                  Generator g) {
  const at::ScalarType type = self.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor cumulative = at::cumsum(self.to(type), -1);
  at::Tensor u = at::empty(result.sizes(), self.options().dtype(type));
  auto iter = at::TensorIterator::nullary_op(u);
  fill(iter, uniform, dtype_of(type), g, {}, {0, 1});
  const at::Tensor total = cumulative.narrow(-1, cumulative.size(-1) - 1, 1);
  result.copy_(at::searchsorted(cumulative, at::mul(u, total), false, /*right=*/true));
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> TRN_OP(native_dropout)(const at::Tensor& input, double p,
                                                          std::optional<bool> train) {
  if (!train.value_or(true) || p == 0 || input.numel() == 0)
    return {input.clone(), at::ones_like(input, input.options().dtype(at::kBool))};
  if (p == 1) return {at::mul(input, 0), at::zeros_like(input, input.options().dtype(at::kBool))};
  const at::Tensor in = input.contiguous();
  at::Tensor out = at::empty_like(in, at::MemoryFormat::Contiguous);
  at::Tensor mask = at::empty(in.sizes(), in.options().dtype(at::kBool));
  const auto [seed, offset] = runtime::reserve(std::nullopt, in.device().index(), 4);
  Launch(dropout, compute_type(in.scalar_type()))
      .out(out)
      .out(mask)
      .in(in)
      .ints({static_cast<int64_t>(seed), static_cast<int64_t>(offset)})
      .reals({1 - p})
      .run(in.numel(), grain_for(kPhiloxCost));
  return {out, mask};
}

// Elements go to buckets at random, then each bucket is shuffled where the cache holds it.
at::Tensor& TRN_OP(randperm_generator_out)(int64_t n, Generator generator, at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be non-negative, got", n);
  out.resize_({n});
  if (n == 0) return out;
  constexpr int64_t kBucket = 4096, kMostBuckets = 1024;
  const int64_t buckets = std::min((n + kBucket - 1) / kBucket, kMostBuckets);
  const at::Tensor order = at::empty({n}, out.options().dtype(at::kLong));
  const at::Tensor starts = at::empty({buckets + 1}, order.options());
  const auto [seed, offset] = runtime::reserve(generator, out.device().index(), 8);
  const auto s = static_cast<int64_t>(seed), o = static_cast<int64_t>(offset);
  Launch(randperm_scatter, DType::i64).out(order).out(starts).ints({s, o}).run(1, 1);
  Launch(randperm_shuffle, DType::i64)
      .out(order)
      .in(starts)
      .ints({s, o + 4})
      .run(buckets, grain_for(n / buckets * kPhiloxCost));
  out.copy_(order);
  return out;
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(uniform_stub, &uniform_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(normal_stub, &normal_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(random_from_to_stub, &random_from_to)
REGISTER_PRIVATEUSE1_DISPATCH(random_full_64_bits_range_stub, &random_full)
REGISTER_PRIVATEUSE1_DISPATCH(random_stub, &random_default)
REGISTER_PRIVATEUSE1_DISPATCH(bernoulli_scalar_stub, &bernoulli_scalar)
REGISTER_PRIVATEUSE1_DISPATCH(bernoulli_tensor_stub, &bernoulli_tensor)
REGISTER_PRIVATEUSE1_DISPATCH(exponential_stub, &exponential_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(geometric_stub, &one_parameter<trn::ops::geometric>)
REGISTER_PRIVATEUSE1_DISPATCH(cauchy_stub, &two_parameters<trn::ops::cauchy>)
REGISTER_PRIVATEUSE1_DISPATCH(log_normal_stub, &two_parameters<trn::ops::log_normal>)
REGISTER_PRIVATEUSE1_DISPATCH(multinomial_with_replacement_stub,
                              &trn::ops::multinomial_with_replacement)
}  // namespace at::native
