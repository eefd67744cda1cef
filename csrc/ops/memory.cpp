// Creation, views of storage, and values read back: what every tensor needs before any kernel.
#include "ops/memory.h"

#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_copy_from.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/set_native.h>
#include <c10/core/DeviceGuard.h>

#include "ops/op.h"
#include "runtime/allocator.h"
#include "runtime/device.h"

namespace trn::ops {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

c10::Device device_of_options(std::optional<at::Device> device) {
  const c10::Device d = device.value_or(c10::Device(c10::kPrivateUse1));
  return c10::Device(c10::kPrivateUse1, d.has_index() ? d.index() : runtime::current_device());
}

void refuse_unsupported(std::optional<at::Layout> layout, std::optional<bool> pin_memory) {
  TORCH_CHECK(layout.value_or(at::kStrided) == at::kStrided, "Expected a strided layout, got ",
              layout.value_or(at::kStrided));
  TORCH_CHECK(!pin_memory.value_or(false), "Only dense CPU tensors can be pinned");
}

// torch.use_deterministic_algorithms promises known contents even of fresh memory.
const at::Tensor& fill_if_deterministic(const at::Tensor& t) {
  auto& context = at::globalContext();
  if (C10_UNLIKELY(context.deterministicAlgorithms() &&
                   context.deterministicFillUninitializedMemory()))
    at::native::fill_empty_deterministic_(const_cast<at::Tensor&>(t));
  return t;
}

}  // namespace

at::Tensor empty_of(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const c10::Device device = device_of_options(options.device_opt());
  c10::OptionalDeviceGuard guard;
  if (device.index() != runtime::current_device()) guard.reset_device(device);
  refuse_unsupported(options.layout_opt(), options.pinned_memory_opt());
  return fill_if_deterministic(at::detail::empty_generic(sizes, runtime::allocator(), kKeys,
                                                         c10::typeMetaToScalarType(options.dtype()),
                                                         options.memory_format_opt()));
}

at::Tensor empty_strided_of(at::IntArrayRef sizes, at::IntArrayRef strides,
                            const at::TensorOptions& options) {
  const c10::Device device = device_of_options(options.device_opt());
  c10::OptionalDeviceGuard guard;
  if (device.index() != runtime::current_device()) guard.reset_device(device);
  refuse_unsupported(options.layout_opt(), options.pinned_memory_opt());
  return fill_if_deterministic(at::detail::empty_strided_generic(
      sizes, strides, runtime::allocator(), kKeys, c10::typeMetaToScalarType(options.dtype())));
}

at::Tensor TRN_OP(empty_memory_format)(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                                       std::optional<at::Layout> layout,
                                       std::optional<at::Device> device,
                                       std::optional<bool> pin_memory,
                                       std::optional<at::MemoryFormat> memory_format) {
  return empty_of(size, at::TensorOptions()
                            .dtype(dtype)
                            .layout(layout)
                            .device(device)
                            .pinned_memory(pin_memory)
                            .memory_format(memory_format));
}

at::Tensor TRN_OP(empty_strided)(at::IntArrayRef size, at::IntArrayRef stride,
                                 std::optional<at::ScalarType> dtype,
                                 std::optional<at::Layout> layout, std::optional<at::Device> device,
                                 std::optional<bool> pin_memory) {
  return empty_strided_of(
      size, stride,
      at::TensorOptions().dtype(dtype).layout(layout).device(device).pinned_memory(pin_memory));
}

// Zeros without memory, for forward-mode derivatives: operators ask for the key, not the contents.
at::Tensor TRN_OP(_efficientzerotensor)(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                                        std::optional<at::Layout>, std::optional<at::Device> device,
                                        std::optional<bool>) {
  at::native::ZeroTensorAllocator nothing(device_of_options(device));
  return at::detail::empty_generic(
      size, &nothing, kKeys | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor),
      dtype.value_or(at::get_default_dtype_as_scalartype()), std::nullopt);
}

const at::Tensor& TRN_OP(resize_)(const at::Tensor& self, at::IntArrayRef size,
                                  std::optional<at::MemoryFormat> memory_format) {
  const int64_t old_bytes = static_cast<int64_t>(self.storage().nbytes());
  at::TensorImpl* impl = self.unsafeGetTensorImpl();
  if (!self.sizes().equals(size)) impl->set_sizes_contiguous(size);
  if (memory_format) {
    TORCH_CHECK(*memory_format != at::MemoryFormat::Preserve, "Unsupported memory format",
                *memory_format);
    impl->empty_tensor_restride(*memory_format);
  }
  const int64_t bytes = (impl->storage_offset() + impl->numel()) * self.itemsize();
  if (impl->numel() > 0 && bytes > old_bytes)
    at::detail::getPrivateUse1Hooks().resizePrivateUse1Bytes(self.storage(), bytes);
  auto& context = at::globalContext();
  if (C10_UNLIKELY(context.deterministicAlgorithms() &&
                   context.deterministicFillUninitializedMemory()))
    at::native::fill_resize_deterministic_(self, old_bytes);
  return self;
}

at::Tensor& TRN_OP(set__source_Storage_storage_offset)(at::Tensor& self, at::Storage source,
                                                       int64_t storage_offset, at::IntArrayRef size,
                                                       at::IntArrayRef stride) {
  at::native::checkSetStorage(self, std::move(source), storage_offset, size, stride);
  self.unsafeGetTensorImpl()->set_storage_offset(storage_offset);
  if (stride.data() == nullptr)  // none given, which is not the same as none there
    self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  else self.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride);
  return self;
}

at::Tensor& TRN_OP(set_)(at::Tensor& self) {
  const c10::Storage storage(c10::Storage::use_byte_size_t(), 0, runtime::allocator(), true);
  return self.set_(storage, 0, {0}, {1});
}

// Parameters keep their identity when a module moves, as on CUDA.
bool TRN_OP_ACROSS(_has_compatible_shallow_copy_type)(const at::Tensor& self,
                                                      const at::Tensor& from) {
  const auto dense = [](const at::Tensor& t) {
    return t.key_set().has_any(c10::DispatchKeySet(c10::DispatchKey::Dense));
  };
  return dense(self) && dense(from);
}

void TRN_OP(record_stream)(at::Tensor& self, at::Stream s) {
  runtime::allocator()->recordStream(self.storage().data_ptr(), s);
}

// The one operator that has to wait: its caller asked for a value.
at::Scalar TRN_OP(_local_scalar_dense)(const at::Tensor& self) {
  at::Tensor host = at::empty({}, self.options().device(at::kCPU));
  at::_copy_from(self.reshape({}), host, /*non_blocking=*/false);
  return at::native::_local_scalar_dense_cpu(host);
}

bool TRN_OP(equal)(const at::Tensor& self, const at::Tensor& other) {
  if (!self.sizes().equals(other.sizes())) return false;
  if (self.numel() == 0) return true;
  TORCH_CHECK(self.scalar_type() == other.scalar_type(), "Expected object of data type ",
              self.scalar_type(), " but got data type ", other.scalar_type(),
              " for argument 'other'");
  return at::all(at::eq(self, other)).item<bool>();
}

}  // namespace trn::ops
