// Fills a packet field by field and hands it to the current stream.
#include "ops/launch.h"

#include "base/site.h"
#include "base/spoken.h"
#include "ops/blocking.h"
#include "runtime/capture.h"

namespace trn::ops {
namespace {

// The scalar types a kernel can see are numbered alike on both sides.
static_assert(DType::f32 == static_cast<DType>(c10::ScalarType::Float));
static_assert(DType::c128 == static_cast<DType>(c10::ScalarType::ComplexDouble));
static_assert(DType::b8 == static_cast<DType>(c10::ScalarType::Bool));
static_assert(DType::bf16 == static_cast<DType>(c10::ScalarType::BFloat16));
static_assert(DType::f8_e4m3fnuz == static_cast<DType>(c10::ScalarType::Float8_e4m3fnuz));
static_assert(DType::u64 == static_cast<DType>(c10::ScalarType::UInt64));

std::atomic<bool> blocking{false};

bool is_floating(DType t) {
  switch (t) {
    case DType::f16:
    case DType::bf16:
    case DType::f32:
    case DType::f64:
    case DType::f8_e5m2:
    case DType::f8_e4m3fn:
    case DType::f8_e5m2fnuz:
    case DType::f8_e4m3fnuz: return true;
    default: return false;
  }
}

}  // namespace

void set_launch_blocking(bool on) { blocking.store(on); }

uint64_t launch_count() { return runtime::launch_count(); }

Launch::Launch(const Family& family, DType type) {
  const Kernel* kernel = family[type];
  TORCH_CHECK_NOT_IMPLEMENTED(kernel, '"', family.name(), '_', spoken_device(),
                              "\" not implemented for '",
                              c10::toString(static_cast<c10::ScalarType>(type)), "'");
  Call& call = packet_.call;
  packet_.kind = driver::PacketKind::kernel;
  packet_.other = nullptr;
  packet_.stamp = nullptr;
  call.kernel = kernel;
  call.noperands = call.noutputs = call.site = 0;
  call.nints = call.nreals = 0;
}

Operand& Launch::next(bool output, c10::DeviceIndex device) {
  Call& call = packet_.call;
  TORCH_INTERNAL_ASSERT(call.noperands < kMaxOperands, call.kernel->name, ": too many operands");
  TORCH_INTERNAL_ASSERT(!output || call.noutputs == call.noperands, "outputs come before inputs");
  if (device_ < 0) device_ = device;
  call.noutputs += output;
  return call.operand[call.noperands++];
}

namespace {
void fill_operand(Operand& o, const at::Tensor& t, c10::IntArrayRef as) {
  const int64_t ndim = static_cast<int64_t>(as.size()), added = ndim - t.dim();
  TORCH_CHECK(ndim <= kMaxDims, "trn kernels take tensors of at most ", kMaxDims,
              " dimensions, got ", ndim);
  TORCH_INTERNAL_ASSERT(added >= 0, "an operand of ", t.sizes(), " seen as ", as);
  const c10::IntArrayRef sizes = t.sizes(), strides = t.strides();
  o.data = t.data_ptr();
  o.dtype = dtype_of(t);
  o.ndim = static_cast<int8_t>(ndim);
  for (int64_t d = 0; d < ndim; ++d) {
    o.sizes[d] = as[d];
    o.strides[d] = d < added || sizes[d - added] != as[d] ? 0 : strides[d - added];
  }
}
}  // namespace

Launch& Launch::tensor(const at::Tensor& t, c10::IntArrayRef as, bool output) {
  if (t.defined()) {
    fill_operand(next(output, t.device().index()), t, as);
  } else {
    Operand& o = next(output, -1);
    o.data = nullptr;
    o.dtype = DType::f32;
    o.ndim = -1;
  }
  return *this;
}

Launch& Launch::out(const at::Tensor& t, c10::IntArrayRef as) { return tensor(t, as, true); }
Launch& Launch::in(const at::Tensor& t, c10::IntArrayRef as) { return tensor(t, as, false); }
Launch& Launch::out(const at::Tensor& t) { return out(t, t.sizes()); }
Launch& Launch::in(const at::Tensor& t) {
  return in(t, t.defined() ? t.sizes() : c10::IntArrayRef());
}

Launch& Launch::in(const std::optional<at::Tensor>& t) { return in(t ? *t : at::Tensor()); }

Launch& Launch::scalar(const at::Scalar& value, DType type) {
  Operand& o = next(false, -1);
  o.data = nullptr;
  o.dtype = type;
  o.ndim = 0;
  if (value.isComplex()) {
    const auto z = value.toComplexDouble();
    o.value.r[0] = z.real();
    o.value.r[1] = z.imag();
  } else if (type == DType::c64 || type == DType::c128 || is_floating(type)) {
    o.value.r[0] = value.toDouble();
    o.value.r[1] = 0;
  } else if (type == DType::b8) {
    o.value.i = value.toBool();
  } else {
    o.value.i = value.isFloatingPoint() ? static_cast<int64_t>(value.toDouble()) : value.toLong();
  }
  return *this;
}

Launch& Launch::raw(const Operand& o, bool output, c10::DeviceIndex device) {
  next(output, device) = o;
  return *this;
}

Launch& Launch::ints(std::initializer_list<int64_t> values) {
  return ints(c10::IntArrayRef(values.begin(), values.size()));
}

Launch& Launch::ints(c10::IntArrayRef values) {
  Call& call = packet_.call;
  TORCH_INTERNAL_ASSERT(call.nints + values.size() <= kMaxInts, call.kernel->name, ": ints");
  for (int64_t v : values) call.ints[call.nints++] = v;
  return *this;
}

Launch& Launch::reals(std::initializer_list<double> values) {
  Call& call = packet_.call;
  TORCH_INTERNAL_ASSERT(call.nreals + values.size() <= kMaxReals, call.kernel->name, ": reals");
  for (double v : values) call.reals[call.nreals++] = v;
  return *this;
}

Launch& Launch::may_fault() {
  packet_.call.site = capture_site();
  return *this;
}

void Launch::run(int64_t work, int64_t grain) {
  if (work <= 0) return;
  packet_.call.work = work;
  packet_.call.grain = std::max<int64_t>(grain, 1);
  runtime::submit(device_, packet_);
  if (blocking.load(std::memory_order_relaxed) &&
      !runtime::capture_of(runtime::current_stream(device_)))
    runtime::synchronize(runtime::current_stream(device_));
}

}  // namespace trn::ops
