// Assertions about values that only the device knows.
#include "blocks.h"

namespace trn {
namespace {

// operand 0: one element of any type. A zero is a fault.
void assert_true(const Call& call, const Range& range) {
  bool value;
  TRN_ISA_NAMESPACE::convert_run(&value, DType::b8, 1, call.operand[0].data, call.operand[0].dtype,
                                 1, 1);
  if (!value) range.fault->report(FaultKind::assertion);
}

TRN_REGISTER("assert_true", DType::b8, assert_true);

}  // namespace
}  // namespace trn
