// Turns iterators into launches.
#include "ops/iterator.h"

#include <bit>

namespace trn::ops {
namespace {

// A zero-dimensional host tensor travels by value.
Operand immediate(const at::TensorIteratorBase& iter, int i) {
  Operand o;
  o.data = nullptr;
  o.dtype = dtype_of(iter.dtype(i));
  o.ndim = 0;
  const void* at = iter.data_ptr(i);
  switch (o.dtype) {
    case DType::b8:
    case DType::u8: o.value.i = *static_cast<const uint8_t*>(at); break;
    case DType::i8: o.value.i = *static_cast<const int8_t*>(at); break;
    case DType::i16: o.value.i = *static_cast<const int16_t*>(at); break;
    case DType::u16: o.value.i = *static_cast<const uint16_t*>(at); break;
    case DType::i32: o.value.i = *static_cast<const int32_t*>(at); break;
    case DType::u32: o.value.i = *static_cast<const uint32_t*>(at); break;
    case DType::i64:
    case DType::u64: o.value.i = *static_cast<const int64_t*>(at); break;
    default: {
      const auto z = iter.tensor(i).item().toComplexDouble();
      o.value.r[0] = z.real();
      o.value.r[1] = z.imag();
    }
  }
  return o;
}

void fill_operand(Operand& o, const at::TensorIteratorBase& iter, int i) {
  o.data = iter.data_ptr(i);
  o.dtype = dtype_of(iter.dtype(i));
  const int ndim = std::min<int>(iter.ndim(), kMaxDims);
  o.ndim = static_cast<int8_t>(ndim);
  // Sizes of elements are powers of two: a shift, since a division costs as much as the rest.
  const int shift = std::countr_zero(static_cast<uint64_t>(iter.element_size(i)));
  const int64_t *shape = iter.shape().data(), *strides = iter.strides(i).data();
  // The iterator counts dimensions from the fastest, an operand from the slowest.
  for (int d = 0; d < ndim; ++d) {
    o.sizes[ndim - 1 - d] = shape[d];
    o.strides[ndim - 1 - d] = strides[d] >> shift;
  }
}

}  // namespace

Operand iterator_operand(const at::TensorIteratorBase& iter, int i) {
  if (iter.tensor_base(i).is_cpu()) return immediate(iter, i);
  Operand o;
  fill_operand(o, iter, i);
  return o;
}

c10::DeviceIndex iterator_device(const at::TensorIteratorBase& iter) {
  for (int i = 0; i < iter.ntensors(); ++i)
    if (iter.tensor_base(i).is_privateuseone()) return iter.tensor_base(i).device().index();
  TORCH_INTERNAL_ASSERT(false, "no operand of the iterator is on the device");
}

void launch(at::TensorIteratorBase& iter, const Family& family, DType type,
            c10::function_ref<void(Launch&)> extra, int64_t cost) {
  if (iter.numel() == 0) return;
  const c10::DeviceIndex device = iterator_device(iter);
  int64_t inner = 1, outer = 1;
  for (int d = 0; d < iter.ndim(); ++d) (d < kMaxDims ? inner : outer) *= iter.shape()[d];
  for (int64_t o = 0; o < outer; ++o) {
    Launch launch(family, type);
    for (int i = 0; i < iter.ntensors(); ++i) {
      Operand& operand = launch.next(i < iter.noutputs(), device);
      if (iter.tensor_base(i).is_cpu()) {
        operand = immediate(iter, i);
        continue;
      }
      fill_operand(operand, iter, i);
      int64_t rest = o;
      for (int d = kMaxDims; d < iter.ndim(); ++d) {
        const int64_t at = rest % iter.shape()[d];
        operand.data = operand.as<char>() + at * iter.strides(i)[d];
        rest /= iter.shape()[d];
      }
    }
    extra(launch);
    launch.run(inner, grain_for(cost * iter.ntensors()));
  }
}

void launch(at::TensorIteratorBase& iter, const Family& family, DType type, int64_t cost) {
  launch(iter, family, type, [](Launch&) {}, cost);
}

}  // namespace trn::ops
