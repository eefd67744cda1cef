// Special functions that a DispatchStub does not name: frexp.
#include <ATen/native/UnaryOps.h>

#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family mantissa("frexp_mantissa"), exponent("frexp_exponent");

void frexp_kernel(at::TensorIteratorBase& iter) {
  for (int i = 0; i < 2; ++i) {
    auto one = at::TensorIteratorConfig()
                   .check_all_same_dtype(false)
                   .add_output(iter.tensor(i))
                   .add_const_input(iter.tensor(2))
                   .build();
    launch(one, i ? exponent : mantissa, compute_type(iter.dtype(2)), 8);
  }
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(frexp_stub, &trn::ops::frexp_kernel)
}  // namespace at::native
