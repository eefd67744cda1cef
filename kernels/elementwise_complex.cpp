// The kernels of elementwise_complex.def.
#include "complex.h"
#include "elementwise_rows.h"

namespace trn {
namespace {
template <class R>
TRN_INLINE complex_t<R> conjugate(complex_t<R> z) {
  return {z.re, -z.im};
}
#include "elementwise_complex.def"
}  // namespace
}  // namespace trn
