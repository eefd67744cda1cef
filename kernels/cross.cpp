// The vector product of lines of three.
//
// operands: out, a, b, all [.., 3] of any strides; out may be a or b. Items are lines.
#include "complex.h"
#include "lines.h"

namespace trn {
namespace {

template <class T>
void cross(const Call& call, const Range& range) {
  using A = acc_t<T>;
  for (int64_t l = range.begin; l < range.end; ++l) {
    const Line<T> out = line_of<T>(call.operand[0], l);
    A a[3], b[3];
    for (int i = 0; i < 3; ++i) {
      a[i] = A(line_of<T>(call.operand[1], l)[i]);
      b[i] = A(line_of<T>(call.operand[2], l)[i]);
    }
    for (int i = 0; i < 3; ++i) {
      const int j = (i + 1) % 3, k = (i + 2) % 3;
      out[i] = T(A(a[j] * b[k] - a[k] * b[j]));
    }
  }
}

TRN_REGISTER_ALL(cross, cross);

}  // namespace
}  // namespace trn
