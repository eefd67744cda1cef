// Assertions on device values, told at the next synchronisation.
#include "ops/op.h"

namespace trn::ops {

void TRN_OP(_assert_async)(const at::Tensor& self) {
  static const Family assert_true("assert_true");
  TORCH_CHECK(self.numel() > 0, "Boolean value of Tensor with no values is ambiguous");
  TORCH_CHECK(self.numel() == 1, "Boolean value of Tensor with more than one value is ambiguous");
  Launch(assert_true, DType::b8).in(self).may_fault().run(1, 1);
}

// The message stays with the caller's line, which the error names.
void TRN_OP(_assert_async_msg)(const at::Tensor& self, std::string_view) {
  ops::_assert_async(self);
}

}  // namespace trn::ops
