// Gamma, Poisson, binomial and Dirichlet numbers, and the gradient of the first.
#include <ATen/ops/clamp.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>

#include "ops/elementwise.h"
#include "runtime/generator.h"

namespace trn::ops {
namespace {

using Generator = std::optional<at::Generator>;

const Family standard_gamma("standard_gamma"), poisson_family("poisson"),
    binomial_family("binomial"), gamma_grad("standard_gamma_grad"),
    dirichlet_grad("dirichlet_grad");

// The least normal number of a floating-point type.
double least_normal(at::ScalarType t) {
  switch (t) {
    case at::kHalf: return 0x1p-14;
    case at::kDouble: return 0x1p-1022;
    default: return 0x1p-126;
  }
}

// A number for every element of the inputs, which have its parameters.
at::Tensor draw(const Family& family, at::TensorList inputs, const Generator& generator,
                std::initializer_list<double> reals = {}) {
  constexpr int64_t kDraws = 256;  // more for one element is as good as impossible
  constexpr int64_t kCost = 200;
  at::TensorIteratorConfig config;
  config.add_owned_output(at::Tensor());
  for (const at::Tensor& t : inputs) config.add_const_input(t);
  auto iter = config.check_all_same_dtype(false)
                  .declare_static_dtype(inputs[0].scalar_type())
                  .declare_static_device(inputs[0].device())
                  .build();
  TORCH_CHECK(at::isFloatingType(inputs[0].scalar_type()), '"', family.name(),
              "_trn\" not implemented for '", at::toString(inputs[0].scalar_type()), "'");
  if (iter.numel() == 0) return iter.output();
  const auto [seed, offset] = runtime::reserve(generator, iterator_device(iter), kDraws);
  launch(
      iter, family, DType::f64,
      [&, seed = seed, offset = offset](Launch& l) {
        l.ints({static_cast<int64_t>(seed), static_cast<int64_t>(offset)}).reals(reals).may_fault();
      },
      kCost);
  return iter.output();
}

}  // namespace

at::Tensor TRN_OP(_standard_gamma)(const at::Tensor& self, Generator generator) {
  return draw(standard_gamma, self, generator, {least_normal(self.scalar_type())});
}
at::Tensor TRN_OP(poisson)(const at::Tensor& self, Generator generator) {
  return draw(poisson_family, self, generator);
}
at::Tensor TRN_OP(binomial)(const at::Tensor& count, const at::Tensor& prob, Generator generator) {
  return draw(binomial_family, {count, prob}, generator);
}
at::Tensor TRN_OP(_sample_dirichlet)(const at::Tensor& self, Generator generator) {
  const double least = least_normal(self.scalar_type());
  const at::Tensor gammas =
      draw(standard_gamma, self.scalar_type() == at::kDouble ? self : self.to(at::kFloat),
           generator, {least});
  return at::div(gammas, at::sum(gammas, {-1}, true)).clamp_(least, 1).to(self.scalar_type());
}

at::Tensor TRN_OP(_standard_gamma_grad)(const at::Tensor& self, const at::Tensor& output) {
  at::Tensor result = at::empty_like(self);
  auto iter = at::TensorIterator::borrowing_binary_op(result, self, output);
  map(iter, gamma_grad, 2000);
  return result;
}

at::Tensor TRN_OP(_dirichlet_grad)(const at::Tensor& x, const at::Tensor& alpha,
                                   const at::Tensor& total) {
  at::Tensor result = at::empty_like(x);
  auto iter = at::TensorIteratorConfig()
                  .add_output(result)
                  .add_const_input(x)
                  .add_const_input(alpha)
                  .add_const_input(total)
                  .build();
  map(iter, dirichlet_grad, 4000);
  return result;
}

}  // namespace trn::ops
