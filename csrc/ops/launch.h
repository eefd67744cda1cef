// From tensors to a queued packet: operands, scalars, the current stream.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "driver/driver.h"
#include "kernel.h"

namespace trn::ops {

// The kernel layer's name of a tensor's element type.
inline DType dtype_of(c10::ScalarType t) { return static_cast<DType>(t); }
inline DType dtype_of(const at::Tensor& t) { return dtype_of(t.scalar_type()); }

// Fewest items worth a thread when one item costs `cost` simple steps (element loads, say).
inline int64_t grain_for(int64_t cost) {
  constexpr int64_t kStepsPerThread =
      131072;  // below this, waking a thread costs more than it does
  return std::max<int64_t>(1, kStepsPerThread / std::max<int64_t>(1, cost));
}

// One launch, built up and queued on the current stream of the first operand's device:
//   static const Family softmax("softmax");
//   Launch(softmax, dtype_of(src)).out(dst).in(src).ints({log}).run(rows, grain_for(cols));
// Outputs come before inputs. Raises NotImplementedError in CUDA's words when the family has no
// kernel of that type, and RuntimeError for a tensor of more than kMaxDims dimensions.
class Launch {
 public:
  Launch(const Family& family, DType type);
  // Written (and may be read), or read. An undefined tensor is absent() to the kernel.
  Launch& out(const at::Tensor& t);
  Launch& in(const at::Tensor& t);
  Launch& in(const std::optional<at::Tensor>& t);
  // The same, seen as of the shape `as`, to which PyTorch would broadcast it; no view is made.
  Launch& out(const at::Tensor& t, c10::IntArrayRef as);
  Launch& in(const at::Tensor& t, c10::IntArrayRef as);
  Launch& scalar(const at::Scalar& value, DType type);  // an immediate operand
  // An operand made by hand; `device` is where its memory lies, -1 for an immediate.
  Launch& raw(const Operand& o, bool output, c10::DeviceIndex device);
  // The same, to be filled in by the caller.
  Operand& next(bool output, c10::DeviceIndex device);
  Launch& ints(std::initializer_list<int64_t> values);  // appended
  Launch& ints(c10::IntArrayRef values);                // appended
  Launch& reals(std::initializer_list<double> values);  // appended
  // Marks a kernel that may report a Range::fault: the calling Python line is kept for the error.
  Launch& may_fault();
  // Queues it over `work` independent items; nothing happens for work == 0.
  void run(int64_t work, int64_t grain);

 private:
  Launch& tensor(const at::Tensor& t, c10::IntArrayRef as, bool output);

  driver::Packet packet_;
  c10::DeviceIndex device_ = -1;
};

// Kernels queued by this process since it started: what tests look at to know the device ran.
uint64_t launch_count();

}  // namespace trn::ops
