// What sparse tensors need of the device itself; the rest is PyTorch's own (codegen/layouts.py).
#include <ATen/ops/resize_as_sparse.h>
#include <torch/library.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

// How the fallback writes a result back into a sparse output.
at::Tensor write_back(const at::Tensor& self, const at::Tensor& dst) {
  const at::Tensor here = self.to(dst.device());
  at::resize_as_sparse_(dst, here);
  at::Tensor to = dst;
  to.copy_(here);
  return dst;
}

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) { m.impl("_copy_from_and_resize", &write_back); }
TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, m) { m.impl("_copy_from_and_resize", &write_back); }

}  // namespace
}  // namespace trn::ops
