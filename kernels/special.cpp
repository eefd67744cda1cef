// The kernels of special.def.
#include "bessel.h"
#include "beta.h"
#include "elementwise_rows.h"
#include "gamma.h"
#include "polynomials.h"

namespace trn {
namespace {

template <class T>
struct Parts {
  T mantissa, exponent;
};
// x = mantissa * 2^exponent with a mantissa of [0.5, 1); zeros and what is not finite keep 0.
template <class T>
TRN_INLINE Parts<T> frexp_parts(T x) {
  int exponent = 0;
  const T mantissa = static_cast<T>(__builtin_frexp(static_cast<double>(x), &exponent));
  return {mantissa, m_fabs(x) < infinity<T>() ? static_cast<T>(exponent) : T(0)};
}

#include "special.def"
}  // namespace
}  // namespace trn
