// Element-wise operators whose DispatchStub takes other arguments than a row's, or that have none.
#include <ATen/ScalarOps.h>
#include <ATen/native/Activation.h>
#include <ATen/native/BinaryOps.h>
#include <ATen/native/Lerp.h>
#include <ATen/native/Pow.h>
#include <ATen/native/TensorCompare.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/native/UnaryOps.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include "elementwise_own.structured.h"
#include "ops/elementwise.h"

namespace trn::ops {

TRN_IMPL_FUNC(add_out)
(const at::Tensor&, const at::Tensor&, const at::Scalar& alpha, const at::Tensor&) {
  map(*this, add_family, 1, alpha);
}

namespace {
bool is_tanh(std::string_view approximate) {  // raises for an unknown word
  return at::native::get_gelutype_enum(approximate) == at::native::GeluType::Tanh;
}
}  // namespace

TRN_IMPL_FUNC(gelu_out)(const at::Tensor&, std::string_view approximate, const at::Tensor&) {
  map(*this, is_tanh(approximate) ? gelu_tanh_family : gelu_family, 14);
}

TRN_IMPL_FUNC(gelu_backward_grad_input)
(const at::Tensor&, const at::Tensor&, std::string_view approximate, const at::Tensor&) {
  map(*this, is_tanh(approximate) ? gelu_tanh_backward_family : gelu_backward_family, 22);
}

namespace {

void where_on_trn(at::TensorIterator& iter) {
  // Promotion is of the two values; the condition only chooses.
  const DType type = compute_type(iter.dtype(0));
  launch(iter, where_family, type, 2);
}

void lerp_scalar_on_trn(at::TensorIteratorBase& iter, const at::Scalar& weight) {
  map(iter, lerp_scalar_family, 3, weight);
}
void lerp_tensor_on_trn(at::TensorIteratorBase& iter) { map(iter, lerp_tensor_family, 3); }

void nan_to_num_on_trn(at::TensorIteratorBase& iter, std::optional<double> nan,
                       std::optional<double> posinf, std::optional<double> neginf) {
  // Infinities become the largest finite numbers of the tensor's own type.
  double largest = 0;
  switch (iter.dtype()) {
    case c10::kHalf: largest = 65504; break;
    case c10::kBFloat16: largest = 3.3895313892515355e38; break;
    case c10::kFloat: largest = std::numeric_limits<float>::max(); break;
    default: largest = std::numeric_limits<double>::max();
  }
  map(iter, nan_to_num_family, 2,
      {at::Scalar(nan.value_or(0)), posinf.value_or(largest), neginf.value_or(-largest)});
}

// The exponents people write are products and roots, which have rows of their own.
void pow_on_trn(at::TensorIteratorBase& iter, const at::Scalar& exponent) {
  const at::ScalarType type = common_type(iter);
  const double e = at::isFloatingType(type) ? exponent.toDouble() : 0;
  if (e == 2) return map(iter, square_family, 1);
  if (e == 3) return map(iter, cube_family, 2);
  if (e == 0.5) return map(iter, sqrt_family, 4);
  if (e == -0.5) return map(iter, rsqrt_family, 6);
  if (e == -1) return map(iter, reciprocal_family, 4);
  map(iter, pow_tensor_scalar_family, 30, exponent);
}

// Negative places are tens, hundreds, ...
void round_decimals_on_trn(at::TensorIteratorBase& iter, int64_t decimals) {
  const double power = std::pow(10., std::abs(static_cast<double>(decimals)));
  const at::ScalarType type = static_cast<at::ScalarType>(compute_type(common_type(iter)));
  const double ten = type == at::kFloat ? static_cast<float>(power) : power;
  map(iter, decimals < 0 ? round_tens_family : round_parts_family, 4, at::Scalar(ten));
}
void polygamma_on_trn(at::TensorIteratorBase& iter, int64_t order) {
  if (order == 1) return map(iter, trigamma_family, 40);
  static const Family family("polygamma");
  map(iter, family, 500, at::Scalar(order));
}

void complex_on_trn(at::TensorIterator& iter) {
  launch(iter, make_complex_family, compute_type(iter.dtype(0)), 2);
}
void polar_on_trn(at::TensorIterator& iter) {
  launch(iter, make_polar_family, compute_type(iter.dtype(0)), 20);
}

// Binary and ternary rows over tensors of one shape.
void map_tensors(const at::Tensor& out, std::initializer_list<at::Tensor> in, const Family& family,
                 int64_t cost, c10::ArrayRef<c10::Scalar> scalars = {}) {
  at::TensorIteratorConfig config;
  config.add_output(out);
  for (const at::Tensor& t : in) config.add_input(t);
  auto iter = config.check_all_same_dtype(false).promote_inputs_to_common_dtype(true).build();
  map(iter, family, cost, scalars);
}

void prelu_backward_on_trn(at::TensorIterator& iter) {
  const at::Tensor &self = iter.tensor(2), &weight = iter.tensor(3), &grad = iter.tensor(4);
  map_tensors(iter.tensor(0), {self, weight, grad}, prelu_backward_self_family, 1);
  map_tensors(iter.tensor(1), {self, weight, grad}, prelu_backward_weight_family, 1);
}

}  // namespace

at::Tensor TRN_OP(native_dropout_backward)(const at::Tensor& grad_output, const at::Tensor& mask,
                                           double scale) {
  TORCH_CHECK_NOT_IMPLEMENTED(grad_output.is_floating_point() || grad_output.is_complex(),
                              "\"masked_scale_trn\" not implemented for '",
                              toString(grad_output.scalar_type()), "'");
  at::Tensor grad_input = at::empty_like(grad_output);
  map_tensors(grad_input, {grad_output, mask}, masked_scale_family, 2, {scale});
  return grad_input;
}

at::Tensor& TRN_OP(glu_backward_grad_input)(const at::Tensor& grad_output, const at::Tensor& self,
                                            int64_t dim, at::Tensor& grad_input) {
  TORCH_CHECK(self.dim() > 0, "glu does not support 0-dimensional tensors");
  grad_input.resize_as_(self);
  const int64_t half = self.size(dim) / 2;
  const at::Tensor first = self.narrow(dim, 0, half), second = self.narrow(dim, half, half);
  const at::Tensor gate = at::empty_like(first);
  map_tensors(gate, {second}, sigmoid_family, 10);
  map_tensors(grad_input.narrow(dim, 0, half), {grad_output, gate}, mul_family, 1);
  map_tensors(grad_input.narrow(dim, half, half), {grad_output, first, second},
              glu_backward_second_family, 14);
  return grad_input;
}

at::Tensor TRN_OP(glu_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                int64_t dim) {
  at::Tensor grad_input = at::empty_like(self);
  ops::glu_backward_grad_input(grad_output, self, dim, grad_input);
  return grad_input;
}

// As on CUDA the buffer that CPU needs is left empty.
std::tuple<at::Tensor&, at::Tensor&> TRN_OP(log_sigmoid_forward_output)(const at::Tensor& self,
                                                                        at::Tensor& output,
                                                                        at::Tensor& buffer) {
  auto iter = at::TensorIterator::unary_op(output, self);
  map(iter, log_sigmoid_family, 20);
  return {output, buffer};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(log_sigmoid_forward)(const at::Tensor& self) {
  at::Tensor output = at::empty_like(self), buffer = at::empty_like(self);
  ops::log_sigmoid_forward_output(self, output, buffer);
  return {output, buffer};
}

at::Tensor& TRN_OP(log_sigmoid_backward_grad_input)(const at::Tensor& grad_output,
                                                    const at::Tensor& self, const at::Tensor&,
                                                    at::Tensor& grad_input) {
  map_tensors(grad_input, {grad_output, self}, log_sigmoid_backward_family, 12);
  return grad_input;
}

at::Tensor TRN_OP(log_sigmoid_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                        const at::Tensor& buffer) {
  at::Tensor grad_input = at::empty_like(grad_output);
  return ops::log_sigmoid_backward_grad_input(grad_output, self, buffer, grad_input);
}

namespace {
at::Tensor& masked_fill_with(at::Tensor& self, const at::Tensor& mask, const at::Scalar& value) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_fill_ only supports boolean masks, but got ",
              "mask with dtype ", mask.scalar_type());
  const at::Tensor expanded = mask.expand_as(self);
  auto iter = at::TensorIteratorConfig()
                  .set_check_mem_overlap(false)
                  .check_all_same_dtype(false)
                  .resize_outputs(false)
                  .add_output(self)
                  .add_const_input(self)
                  .add_const_input(expanded)
                  .build();
  check_fits(value, self.scalar_type());
  if (iter.numel() == 0) return self;
  const DType type = compute_type(self.scalar_type());
  launch(iter, masked_fill_family, type, [&](Launch& l) {
    if (type <= DType::i64 || type == DType::b8)
      l.ints({type == DType::b8 ? int64_t{value.toBool()} : value.toLong()});
    else l.reals({value.toComplexDouble().real(), value.toComplexDouble().imag()});
  });
  return self;
}
}  // namespace

at::Tensor& TRN_OP(masked_fill__Scalar)(at::Tensor& self, const at::Tensor& mask,
                                        const at::Scalar& value) {
  return masked_fill_with(self, mask, value);
}

at::Tensor& TRN_OP_ACROSS(masked_fill__Tensor)(at::Tensor& self, const at::Tensor& mask,
                                               const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0,
              "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
              value.dim(), " dimension(s).");
  // A device value is used where it lies: reading it here would wait for the device.
  // Only whether a complex number fits a real tensor has to be seen.
  if (value.is_cpu() || (value.is_complex() && !self.is_complex()))
    return masked_fill_with(self, mask, value.item());
  auto iter = at::TensorIteratorConfig()
                  .set_check_mem_overlap(false)
                  .check_all_same_dtype(false)
                  .resize_outputs(false)
                  .add_output(self)
                  .add_owned_const_input(mask.expand_as(self))
                  .add_owned_const_input(value.to(self.scalar_type()).expand_as(self))
                  .add_const_input(self)
                  .build();
  if (iter.numel()) launch(iter, where_family, compute_type(self.scalar_type()), 2);
  return self;
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(where_kernel, &where_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(pow_tensor_scalar_stub, &pow_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(lerp_kernel_scalar_weight, &lerp_scalar_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(lerp_kernel_tensor_weight, &lerp_tensor_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(nan_to_num_stub, &nan_to_num_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(round_decimals_stub, &round_decimals_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(polygamma_stub, &polygamma_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(complex_stub, &complex_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(polar_stub, &polar_on_trn)
REGISTER_PRIVATEUSE1_DISPATCH(prelu_backward_stub, &prelu_backward_on_trn)
}  // namespace at::native
