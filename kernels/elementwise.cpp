// The kernels of elementwise.def for real types.
#include "elementwise_functions.h"
#include "elementwise_rows.h"
#include "gamma_functions.h"

namespace trn {
namespace {
#include "elementwise.def"
}  // namespace
}  // namespace trn
