// Reductions of integers and bool.
#include "reduce_rows.h"

namespace trn {
namespace {

TRN_REDUCE_ROWS(TRN_REDUCE_INT)

}  // namespace
}  // namespace trn
