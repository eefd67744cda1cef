// Lays reductions out for the engine and registers PyTorch's reduction stubs.
#include "ops/reduce.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReduceAllOps.h>
#include <ATen/native/ReduceOps.h>
#include <ATen/native/TensorCompare.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "ops/elementwise.h"
#include "reduce.structured.h"

namespace trn::ops {
namespace {

// Elements that one chunk reduces when outputs are too few to go round. Neighbouring outputs are
// read together, so that it takes more of them to keep threads apart.
constexpr int64_t kChunk = 65536;
constexpr int64_t kFewOutputs = 64, kFewColumns = 1024;
constexpr int64_t kStateBytes = 32;  // as in kernels/reduce_engine.h

struct Dim {
  int64_t size, in;
  int64_t out[2];
  bool reduced;
};

// Joins neighbours (outermost first) that step alike for all operands; drops sizes of 1.
std::vector<Dim> fold(const std::vector<Dim>& dims) {
  std::vector<Dim> folded;
  for (const Dim& d : dims) {
    if (d.size == 1) continue;
    if (!folded.empty()) {
      Dim& last = folded.back();
      const bool joins =
          last.reduced == d.reduced && last.in == d.in * d.size &&
          (d.reduced || (last.out[0] == d.out[0] * d.size && last.out[1] == d.out[1] * d.size));
      if (joins) {
        last = {last.size * d.size, d.in, {d.out[0], d.out[1]}, d.reduced};
        continue;
      }
    }
    folded.push_back(d);
  }
  return folded;
}

Operand with_dims(const Operand& base, const std::vector<Dim>& dims, int which, bool with_reduced) {
  Operand o = base;
  o.ndim = 0;
  for (const bool reduced : {false, true}) {
    if (reduced && !with_reduced) break;
    for (const Dim& d : dims) {
      if (d.reduced != reduced) continue;
      TORCH_CHECK(o.ndim < kMaxDims, "reduction over tensors of more than ", kMaxDims,
                  " dimensions that cannot be joined is not supported on trn");
      o.sizes[o.ndim] = d.size;
      o.strides[o.ndim++] = which < 0 ? d.in : d.out[which];
    }
  }
  return o;
}

struct Plan {
  std::vector<Operand> outputs;
  Operand input;
  std::vector<Dim> dims;
  c10::DeviceIndex device;
};

// Reduced elements of an output that are a part of their own; 0 for no parts.
int64_t chunk_of(const Operand& in, int64_t kept, int64_t outputs, int64_t length) {
  const bool columns = kept > 0 && in.strides[kept - 1] == 1;
  if (!columns) return outputs < kFewOutputs && length > kChunk ? kChunk : 0;
  const int64_t chunk = std::max<int64_t>(kChunk / outputs, 64);
  return outputs < kFewColumns && length >= 2 * chunk ? chunk : 0;
}

void run(const Plan& plan, const Family& family, DType type, const ReduceArgs& args) {
  int64_t kept = 0, outputs = 1, length = 1;
  for (const Dim& d : plan.dims) {
    kept += !d.reduced;
    (d.reduced ? length : outputs) *= d.size;
  }
  const auto launch = [&](int64_t mode, int64_t chunk, auto add_operands, int64_t work,
                          int64_t cost) {
    Launch l(family, type);
    add_operands(l);
    l.ints({kept, chunk, mode}).ints(c10::IntArrayRef(args.ints.begin(), args.ints.size()));
    for (double r : args.reals) l.reals({r});
    l.run(work, grain_for(cost));
  };
  const auto add_outputs = [&](Launch& l) {
    for (const Operand& o : plan.outputs) l.raw(o, true, plan.device);
  };
  const int64_t chunk = chunk_of(plan.input, kept, outputs, length);
  if (!chunk) {
    launch(
        0, 0,
        [&](Launch& l) {
          add_outputs(l);
          l.raw(plan.input, false, plan.device);
        },
        outputs, length);
    return;
  }
  // Few long reductions: states of fixed chunks first, then their merge in order.
  const int64_t parts = (length + chunk - 1) / chunk;
  const at::Tensor states = at::empty(
      {outputs * parts * kStateBytes},
      at::TensorOptions().dtype(at::kByte).device(c10::Device(c10::kPrivateUse1, plan.device)));
  launch(
      1, chunk,
      [&](Launch& l) {
        l.out(states);
        l.raw(plan.input, false, plan.device);
      },
      outputs * parts, chunk);
  launch(
      2, parts,
      [&](Launch& l) {
        add_outputs(l);
        l.in(states);
      },
      outputs, parts * 4);
}

}  // namespace

void reduce(at::TensorIteratorBase& iter, const Family& family, const ReduceArgs& args) {
  if (iter.numel() == 0 && iter.output().numel() == 0) return;
  const int in = iter.noutputs();
  Plan plan;
  plan.device = iterator_device(iter);
  const auto stride = [&](int i, int d) { return iter.strides(i)[d] / iter.element_size(i); };
  std::vector<Dim> dims;
  for (int d = iter.ndim() - 1; d >= 0; --d)
    dims.push_back({iter.shape()[d],
                    stride(in, d),
                    {stride(0, d), stride(in > 1 ? 1 : 0, d)},
                    iter.strides(0)[d] == 0 && iter.shape()[d] != 1});
  plan.dims = fold(dims);
  const auto base = [&](int i) {
    Operand o;
    o.data = iter.data_ptr(i);
    o.dtype = dtype_of(iter.dtype(i));
    return o;
  };
  for (int i = 0; i < in; ++i)
    plan.outputs.push_back(with_dims(base(i), plan.dims, i, /*with_reduced=*/false));
  plan.input = with_dims(base(in), plan.dims, -1, true);
  run(plan, family, compute_type(iter.dtype(in)), args);
}

void reduce(at::ArrayRef<at::Tensor> outputs, const at::Tensor& self, at::IntArrayRef dims,
            const Family& family, const ReduceArgs& args) {
  if (outputs[0].numel() == 0) return;
  std::vector<bool> reduced(self.dim(), dims.empty());
  for (int64_t d : dims)
    if (self.dim()) reduced[at::maybe_wrap_dim(d, self.dim())] = true;
  const bool keepdim = outputs[0].dim() == self.dim();
  Plan plan;
  plan.device = self.device().index();
  std::vector<Dim> list;
  for (int64_t d = 0, o = 0; d < self.dim(); ++d) {
    const bool r = reduced[d];
    const auto out_stride = [&](const at::Tensor& t) { return r ? 0 : t.stride(keepdim ? d : o); };
    list.push_back(
        {self.size(d), self.stride(d), {out_stride(outputs[0]), out_stride(outputs.back())}, r});
    o += !r;
  }
  plan.dims = fold(list);
  const auto base = [](const at::Tensor& t) {
    Operand o;
    o.data = t.data_ptr();
    o.dtype = dtype_of(t);
    return o;
  };
  for (size_t i = 0; i < outputs.size(); ++i)
    plan.outputs.push_back(with_dims(base(outputs[i]), plan.dims, static_cast<int>(i), false));
  plan.input = with_dims(base(self), plan.dims, -1, true);
  run(plan, family, args.type.value_or(compute_type(self.scalar_type())), args);
}

namespace {

template <const Family& family>
void plain(at::TensorIterator& iter) {
  reduce(iter, family);
}

#define TRN_FAMILY(name) const Family name##_reduction(#name);
// clang-format off
TRN_FAMILY(sum) TRN_FAMILY(nansum) TRN_FAMILY(prod) TRN_FAMILY(all) TRN_FAMILY(any)
TRN_FAMILY(amax) TRN_FAMILY(amin) TRN_FAMILY(argmax) TRN_FAMILY(argmin) TRN_FAMILY(mean)
TRN_FAMILY(max_dim) TRN_FAMILY(min_dim) TRN_FAMILY(aminmax) TRN_FAMILY(var) TRN_FAMILY(norm_0)
TRN_FAMILY(norm_1) TRN_FAMILY(norm_2) TRN_FAMILY(norm_inf) TRN_FAMILY(norm_minus_inf)
TRN_FAMILY(norm_p) TRN_FAMILY(hash);
// clang-format on
#undef TRN_FAMILY

void mean_kernel(at::TensorIterator& iter) {
  const double factor = static_cast<double>(iter.num_output_elements()) / iter.numel();
  reduce(iter, mean_reduction, {{}, {factor}});
}

void std_var_kernel(at::TensorIterator& iter, double correction, bool take_sqrt) {
  reduce(iter, var_reduction, {{take_sqrt}, {correction}});
}

void norm_kernel(at::TensorIterator& iter, const c10::Scalar& exponent) {
  const double p = exponent.isIntegral(false) ? exponent.to<double>() : exponent.toDouble();
  const Family& family = p == 0           ? norm_0_reduction
                         : p == 1         ? norm_1_reduction
                         : p == 2         ? norm_2_reduction
                         : p == INFINITY  ? norm_inf_reduction
                         : p == -INFINITY ? norm_minus_inf_reduction
                                          : norm_p_reduction;
  reduce(iter, family, {{}, {p}});
}

template <const Family& family>
void extreme_with_index(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
                        int64_t dim, bool) {
  const at::Tensor outputs[] = {values, indices};
  reduce(outputs, self.dim() ? self : self.unsqueeze(0), self.dim() ? dim : 0, family);
}

template <const Family& family>
void extreme_of_all(at::Tensor& result, const at::Tensor& self) {
  reduce(result, self, {}, family);
}

void aminmax_kernel(const at::Tensor& self, int64_t dim, bool, at::Tensor& low, at::Tensor& high) {
  const at::Tensor outputs[] = {low, high};
  reduce(outputs, self, dim, aminmax_reduction);
}

void aminmax_all_kernel(const at::Tensor& self, at::Tensor& low, at::Tensor& high) {
  const at::Tensor outputs[] = {low, high};
  reduce(outputs, self, {}, aminmax_reduction);
}

}  // namespace

// In one pass, whatever the type of the result: elements are converted as they are read.
TRN_IMPL_FUNC(sum_IntList_out)
(const at::Tensor& self, at::OptionalIntArrayRef dim, bool, std::optional<at::ScalarType>,
 const at::Tensor& out) {
  // Narrow integers are added as they are, which is exact and faster than converting them.
  const auto counts = [](const at::Tensor& t) {
    return at::isIntegralType(t.scalar_type(), false);
  };
  const bool whole = counts(out) && (counts(self) || self.scalar_type() == at::kBool);
  reduce(out, self, dim.value_or(at::IntArrayRef{}), sum_reduction,
         {.type = compute_type((whole ? self : out).scalar_type())});
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(sum_stub, &plain<sum_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(xor_sum_stub, &plain<hash_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(nansum_stub, &plain<nansum_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(prod_stub, &plain<prod_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(mean_stub, &mean_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(and_stub, &plain<all_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(or_stub, &plain<any_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(max_values_stub, &plain<amax_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(min_values_stub, &plain<amin_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(argmax_stub, &plain<argmax_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(argmin_stub, &plain<argmin_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(std_var_stub, &std_var_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(norm_stub, &trn::ops::norm_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(max_stub, &extreme_with_index<max_dim_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(min_stub, &extreme_with_index<min_dim_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(max_all_stub, &extreme_of_all<amax_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(min_all_stub, &extreme_of_all<amin_reduction>)
REGISTER_PRIVATEUSE1_DISPATCH(aminmax_stub, &aminmax_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(aminmax_allreduce_stub, &aminmax_all_kernel)
}  // namespace at::native
