// Reductions of floating-point types.
#include "reduce_rows.h"

namespace trn {
namespace {

TRN_REDUCE_ROWS(TRN_REDUCE_FLOAT)
TRN_REDUCE_FLOAT("nansum", Sum, NanAsZero, false)
TRN_REDUCE_FLOAT("mean", Sum, Plain, true)
TRN_REDUCE_FLOAT("var", Variance)
TRN_REDUCE_FLOAT("norm_0", Norm, NormKind::zero)
TRN_REDUCE_FLOAT("norm_1", Norm, NormKind::one)
TRN_REDUCE_FLOAT("norm_2", Norm, NormKind::two)
TRN_REDUCE_FLOAT("norm_inf", Norm, NormKind::largest)
TRN_REDUCE_FLOAT("norm_minus_inf", Norm, NormKind::smallest)
TRN_REDUCE_FLOAT("norm_p", Norm, NormKind::other)

}  // namespace
}  // namespace trn
