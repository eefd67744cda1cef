// An operator of one's own with a kernel for trn: swiglu(gate, up) = silu(gate) * up, and its
// gradient. Built against torch-trn's installed headers.
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>
#include <torch_trn/ops/launch.h>

#include <cmath>
#include <tuple>

namespace {

using trn::Call;
using trn::DType;
using trn::Range;

// Kernels take plain data: operands in the order of the launch, outputs first. `range` is the part
// of the `work` items that this thread computes.
template <class T>
void forward_kernel(const Call& call, const Range& range) {
  T* out = call.operand[0].as<T>();
  const T *gate = call.operand[1].as<T>(), *up = call.operand[2].as<T>();
  for (int64_t i = range.begin; i < range.end; ++i)
    out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

template <class T>
void backward_kernel(const Call& call, const Range& range) {
  T *d_gate = call.operand[0].as<T>(), *d_up = call.operand[1].as<T>();
  const T* grad = call.operand[2].as<T>();
  const T *gate = call.operand[3].as<T>(), *up = call.operand[4].as<T>();
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T s = 1 / (1 + std::exp(-gate[i]));
    d_gate[i] = grad[i] * up[i] * s * (1 + gate[i] * (1 - s));
    d_up[i] = grad[i] * gate[i] * s;
  }
}

TRN_REGISTER("example_swiglu", DType::f32, forward_kernel<float>);
TRN_REGISTER("example_swiglu", DType::f64, forward_kernel<double>);
TRN_REGISTER("example_swiglu_backward", DType::f32, backward_kernel<float>);
TRN_REGISTER("example_swiglu_backward", DType::f64, backward_kernel<double>);

const trn::Family forward_family("example_swiglu"), backward_family("example_swiglu_backward");
constexpr int64_t kCost = 16;  // an exponential and a division an item, in simple steps

void check(const at::Tensor& gate, const at::Tensor& up) {
  TORCH_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
              "swiglu: gate and up must have one shape and type, got ", gate.sizes(), " ",
              gate.scalar_type(), " and ", up.sizes(), " ", up.scalar_type());
}

// Queued on the current stream; nothing waits.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  check(gate, up);
  const c10::DeviceGuard guard(gate.device());
  const at::Tensor g = gate.contiguous(), u = up.contiguous();
  at::Tensor out = at::empty_like(g);
  trn::ops::Launch(forward_family, trn::ops::dtype_of(g))
      .out(out)
      .in(g)
      .in(u)
      .run(g.numel(), trn::ops::grain_for(kCost));
  return out;
}

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad, const at::Tensor& gate,
                                                   const at::Tensor& up) {
  check(gate, up);
  const c10::DeviceGuard guard(gate.device());
  const at::Tensor d = grad.contiguous(), g = gate.contiguous(), u = up.contiguous();
  at::Tensor d_gate = at::empty_like(g), d_up = at::empty_like(u);
  trn::ops::Launch(backward_family, trn::ops::dtype_of(g))
      .out(d_gate)
      .out(d_up)
      .in(d)
      .in(g)
      .in(u)
      .run(g.numel(), trn::ops::grain_for(2 * kCost));
  return {d_gate, d_up};
}

// Under autocast the exponential wants float32.
at::Tensor swiglu_autocast(const at::Tensor& gate, const at::Tensor& up) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastPrivateUse1);
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("trn_example::swiglu", "")
                       .typed<at::Tensor(const at::Tensor&, const at::Tensor&)>();
  const auto cast = [](const at::Tensor& t) {
    return at::autocast::cached_cast(at::kFloat, t, c10::DeviceType::PrivateUse1);
  };
  return op.call(cast(gate), cast(up));
}

TORCH_LIBRARY(trn_example, m) {
  m.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  m.def("swiglu_backward(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(trn_example, PrivateUse1, m) {
  m.impl("swiglu", &swiglu);
  m.impl("swiglu_backward", &swiglu_backward);
}
TORCH_LIBRARY_IMPL(trn_example, AutocastPrivateUse1, m) { m.impl("swiglu", &swiglu_autocast); }

}  // namespace
