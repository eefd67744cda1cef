// copy_ between any two of: this device, another one, the host.
#include <ATen/ExpandUtils.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>

#include "base/spoken.h"
#include "ops/blocking.h"
#include "ops/iterator.h"
#include "ops/op.h"
#include "runtime/capture.h"

namespace trn::ops {
namespace {

// Bits of ints[0] of the "copy" kernels.
constexpr int64_t kConjugate = 1, kNegate = 2;

c10::Stream stream_of(const at::Tensor& t) { return runtime::current_stream(t.device().index()); }

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.is_conj() == b.is_conj() &&
         a.is_neg() == b.is_neg() &&
         ((a.is_contiguous() && b.is_contiguous()) ||
          (a.is_non_overlapping_and_dense() && a.strides().equals(b.strides())));
}

// dst <- src on one device, any types and strides.
void copy_on_device(const at::Tensor& dst, const at::Tensor& src) {
  if (dst.is_same(src)) return;
  // The kernel is found by the type that it writes; what it reads has to be one that it knows.
  TORCH_CHECK_NOT_IMPLEMENTED(dtype_size(dtype_of(src)), "\"copy_\" not implemented for '",
                              toString(src.scalar_type()), "'");
  static const Family copy("copy");
  const int64_t flags = (dst.is_conj() != src.is_conj() ? kConjugate : 0) |
                        (dst.is_neg() != src.is_neg() ? kNegate : 0);
  if (dst.scalar_type() == src.scalar_type() && dst.data_ptr() == src.data_ptr() && !flags &&
      dst.strides().equals(src.strides()))
    return;
  auto iter = at::TensorIteratorConfig()
                  .set_check_mem_overlap(true)
                  .add_output(dst)
                  .add_input(src)
                  .resize_outputs(false)
                  .check_all_same_dtype(false)
                  .check_all_same_device(true)
                  .build();
  launch(iter, copy, dtype_of(dst), [&](Launch& l) { l.ints({flags}); });
}

driver::Packet copy_packet(driver::Direction direction, void* dst, const void* src, int64_t bytes) {
  driver::Packet p;
  p.kind = driver::PacketKind::copy;
  p.direction = direction;
  p.dst = dst;
  p.src = src;
  p.bytes = bytes;
  p.stamp = nullptr;
  return p;
}

// In a graph the copy runs at each replay, so the host memory has to stay and nobody may wait.
void record_transfer(runtime::Capture& capture, const driver::Packet& packet,
                     const at::Tensor& host, bool non_blocking) {
  const std::string ours = spoken_platform();
  if (!host.is_pinned())
    runtime::refuse_in_capture(
        capture, ("Cannot copy between CPU and " + ours + " tensors during " + ours +
                  " graph capture unless the CPU tensor is pinned. Please use tensor.pin_memory() "
                  "or allocate the tensor with pin_memory=True.")
                     .c_str());
  if (!non_blocking)
    runtime::refuse_in_capture(
        capture,
        ("a copy between CPU and " + ours + " that waits; pass non_blocking=True").c_str());
  capture.keep(host.storage());
  runtime::submit(capture.origin().device_index(), packet);
}

std::atomic<int> sync_debug{0};

void report_synchronizing() {
  const int mode = sync_debug.load(std::memory_order_relaxed);
  if (C10_LIKELY(mode == 0)) return;
  TORCH_CHECK(mode == 1, "called a synchronizing CUDA operation");
  TORCH_WARN("called a synchronizing CUDA operation");
}

// Dense bytes between host and device. Waits unless the host memory is pinned and the caller
// allowed it: pageable memory may be gone when the copy runs.
void transfer(driver::Direction direction, const at::Tensor& dst, const at::Tensor& src,
              bool non_blocking) {
  const bool up = direction == driver::Direction::host_to_device;
  const at::Tensor& host = up ? src : dst;
  const c10::Device device = (up ? dst : src).device();
  const int64_t bytes = dst.nbytes();
  if (bytes == 0) return;
  driver::Packet packet = copy_packet(direction, dst.data_ptr(), src.data_ptr(), bytes);
  if (runtime::Capture* capture = runtime::capture_of(runtime::current_stream(device.index())))
    return record_transfer(*capture, packet, host, non_blocking);
  if (!non_blocking) report_synchronizing();
  // One number comes down at once: programs read it without waiting (FSDP's gradient scaler does),
  // and a copy that takes as long as its launch on CUDA is behind all that is queued here.
  const bool later = non_blocking && host.is_pinned() && (up || dst.numel() > 1);
  if (up && bytes <= driver::kInlineBytes && !later) {
    // Small values travel inside the packet: nothing to wait for, whoever owns the memory.
    packet.kind = driver::PacketKind::upload;
    std::memcpy(static_cast<void*>(&packet.call), src.data_ptr(), bytes);
    runtime::submit(device.index(), packet);
    return;
  }
  runtime::submit(device.index(), packet);
  const c10::Stream stream = runtime::current_stream(device.index());
  if (later) {
    at::getHostAllocator(c10::kPrivateUse1)
        ->record_event(host.data_ptr(), host.storage().data_ptr().get_context(), stream);
    return;
  }
  runtime::synchronize(stream);
}

void copy_up(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  // As on CUDA: the host tensor is converted where it is, the device moves and lays out.
  const at::Tensor host = src.resolve_conj().resolve_neg().to(dst.scalar_type());
  if (same_layout(dst, host))
    return transfer(driver::Direction::host_to_device, dst, host, non_blocking);
  // A copy that we own must not be read after we return, so that one is waited for.
  const at::Tensor dense = host.contiguous();
  const bool ours = !dense.is_same(src);
  if (dst.is_contiguous() && !dst.is_conj() && !dst.is_neg())
    return transfer(driver::Direction::host_to_device, dst, dense, non_blocking && !ours);
  const at::Tensor staged =
      at::empty(dst.sizes(), dst.options().memory_format(at::MemoryFormat::Contiguous));
  transfer(driver::Direction::host_to_device, staged, dense, non_blocking && !ours);
  copy_on_device(dst, staged);
}

void copy_down(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  if (same_layout(dst, src))
    return transfer(driver::Direction::device_to_host, dst, src, non_blocking);
  at::Tensor dense = src;
  if (src.scalar_type() != dst.scalar_type() || !src.is_contiguous() || src.is_conj() ||
      src.is_neg()) {
    dense = at::empty(
        src.sizes(),
        src.options().dtype(dst.scalar_type()).memory_format(at::MemoryFormat::Contiguous));
    copy_on_device(dense, src);
  }
  if (dst.is_contiguous() && !dst.is_conj() && !dst.is_neg())
    return transfer(driver::Direction::device_to_host, dst, dense, non_blocking);
  const at::Tensor staged =
      at::empty(dst.sizes(), dst.options().memory_format(at::MemoryFormat::Contiguous));
  transfer(driver::Direction::device_to_host, staged, dense, /*non_blocking=*/false);
  dst.copy_(staged);
}

// Both streams see the copy in order: the source's runs it, the destination's waits around it.
void copy_across(const at::Tensor& dst, const at::Tensor& src) {
  at::Tensor dense = src;
  if (!same_layout(dst, src)) {
    const c10::DeviceGuard guard(src.device());
    dense = at::empty(
        src.sizes(),
        src.options().dtype(dst.scalar_type()).memory_format(at::MemoryFormat::Contiguous));
    copy_on_device(dense, src);
  }
  const bool direct = same_layout(dst, dense);
  const at::Tensor target =
      direct ? dst
             : at::empty(dst.sizes(), dst.options().memory_format(at::MemoryFormat::Contiguous));
  const c10::Stream from = stream_of(src), to = stream_of(dst);
  c10::Event ready(c10::kPrivateUse1), done(c10::kPrivateUse1);
  ready.record(to);
  ready.block(from);
  {
    const c10::DeviceGuard guard(src.device());
    runtime::submit(src.device().index(),
                    copy_packet(driver::Direction::device_to_device, target.data_ptr(),
                                dense.data_ptr(), target.nbytes()));
  }
  done.record(from);
  done.block(to);
  if (!direct) {
    const c10::DeviceGuard guard(dst.device());
    copy_on_device(dst, target);
  }
}

}  // namespace

void set_sync_debug_mode(int mode) { sync_debug.store(mode); }
int sync_debug_mode() { return sync_debug.load(); }

at::Tensor TRN_OP_ACROSS(_copy_from)(const at::Tensor& self, const at::Tensor& dst,
                                     bool non_blocking) {
  if (dst.numel() == 0) return dst;
  const at::Tensor src = self.sizes().equals(dst.sizes()) ? self : self.expand(dst.sizes());
  TORCH_CHECK(src.is_cpu() || src.is_privateuseone(), "cannot copy from ", src.device(), " to ",
              dst.device());
  if (!src.is_privateuseone()) {
    const c10::DeviceGuard guard(dst.device());
    copy_up(dst, src, non_blocking);
  } else if (dst.is_cpu()) {
    const c10::DeviceGuard guard(src.device());
    copy_down(dst, src, non_blocking);
  } else if (src.device() == dst.device()) {
    const c10::DeviceGuard guard(src.device());
    copy_on_device(dst, src);
  } else {
    copy_across(dst, src);
  }
  return dst;
}

at::Tensor TRN_OP_ACROSS(_copy_from_and_resize)(const at::Tensor& self, const at::Tensor& dst) {
  if (!dst.sizes().equals(self.sizes())) dst.resize_(self.sizes());
  return ops::_copy_from(self, dst, /*non_blocking=*/false);
}

// copy_ reaches _copy_from with its conj and neg bits still set (the kernels above handle them);
// without these two the bits would be resolved by a copy, which would come here again, forever.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

}  // namespace trn::ops
