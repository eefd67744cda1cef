// Element-wise operators: every row of kernels/elementwise.def becomes a DispatchStub kernel.
#include "ops/elementwise.h"

#include <ATen/Dispatch_v2.h>
#include <ATen/native/Activation.h>
#include <ATen/native/BinaryOps.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/Fill.h>
#include <ATen/native/Lerp.h>
#include <ATen/native/LinearAlgebra.h>
#include <ATen/native/Normalization.h>
#include <ATen/native/PointwiseOps.h>
#include <ATen/native/Pow.h>
#include <ATen/native/TensorCompare.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/native/UnaryOps.h>

namespace trn::ops {
namespace {

bool is_integral(DType t) { return t <= DType::i64 || t == DType::b8; }

void append(Launch& l, DType type, const c10::Scalar& s) {
  if (is_integral(type)) {
    l.ints({s.isFloatingPoint() ? static_cast<int64_t>(s.toDouble()) : s.toLong()});
  } else if (s.isComplex()) {
    const auto z = s.toComplexDouble();
    l.reals({z.real(), z.imag()});
  } else {
    l.reals({s.toDouble(), 0});
  }
}

}  // namespace

void check_fits(const c10::Scalar& value, c10::ScalarType type) {
  AT_DISPATCH_V2(type, "trn", AT_WRAP([&] { value.to<scalar_t>(); }),
                 AT_EXPAND(AT_ALL_TYPES_AND_COMPLEX), AT_EXPAND(AT_BAREBONES_UNSIGNED_TYPES),
                 AT_EXPAND(AT_FLOAT8_TYPES), c10::kComplexHalf, c10::kHalf, c10::kBFloat16,
                 c10::kBool);
}

DType compute_type(c10::ScalarType t) {
  switch (t) {
    case c10::kHalf:
    case c10::kBFloat16:
    case c10::kFloat8_e5m2:
    case c10::kFloat8_e4m3fn:
    case c10::kFloat8_e5m2fnuz:
    case c10::kFloat8_e4m3fnuz: return DType::f32;
    case c10::kComplexHalf: return DType::c64;
    case c10::kUInt16:
    case c10::kUInt32:
    case c10::kUInt64: return DType::i64;
    default: return dtype_of(t);
  }
}

c10::ScalarType common_type(const at::TensorIteratorBase& iter) {
  const auto promoted = iter.maybe_common_dtype();
  return promoted.value_or(iter.dtype(iter.ntensors() > iter.noutputs() ? iter.noutputs() : 0));
}

void map(at::TensorIteratorBase& iter, const Family& family, int64_t cost,
         c10::ArrayRef<c10::Scalar> scalars) {
  if (iter.numel() == 0) return;
  const DType type = compute_type(common_type(iter));
  // What fills a tensor becomes an element of it; other scalars only take part in the computation.
  const c10::ScalarType holder =
      iter.ntensors() == 1 ? iter.dtype(0) : static_cast<c10::ScalarType>(type);
  for (const c10::Scalar& s : scalars) check_fits(s, holder);
  launch(
      iter, family, type,
      [&](Launch& l) {
        for (const c10::Scalar& s : scalars) append(l, type, s);
      },
      cost);
}

namespace {

c10::Scalar as_scalar(const c10::Scalar& s) { return s; }
c10::Scalar as_scalar(double s) { return s; }
c10::Scalar as_scalar(int64_t s) { return s; }
c10::Scalar as_scalar(bool s) { return static_cast<int64_t>(s); }

// A row as a stub kernel of whatever signature the stub has: an iterator, then scalars.
template <const Family& family, int64_t cost, class Stub>
struct RowOf;
template <const Family& family, int64_t cost, class Iterator, class... Scalars>
struct RowOf<family, cost, void (*)(Iterator&, Scalars...)> {
  static void run(Iterator& iter, Scalars... scalars) {
    const std::array<c10::Scalar, sizeof...(Scalars)> list{as_scalar(scalars)...};
    map(iter, family, cost, list);
  }
};

template <class FnPtr, class T>
FnPtr signature_of(const at::native::DispatchStub<FnPtr, T>&);

}  // namespace

#define TRN_MAP(name, arity, types, result, cost, ...) const Family name##_family(#name);
#define TRN_MAP_MORE(...)
#define TRN_MAP_OWN TRN_MAP
#include "elementwise.def"
#include "elementwise_complex.def"
#undef TRN_MAP_OWN
#define TRN_MAP_OWN(...)
#include "special.def"
#undef TRN_MAP
#undef TRN_MAP_OWN

}  // namespace trn::ops

namespace at::native {
#define TRN_MAP(name, arity, types, result, cost, ...)              \
  REGISTER_PRIVATEUSE1_DISPATCH(                                    \
      name##_stub, (&trn::ops::RowOf<trn::ops::name##_family, cost, \
                                     decltype(trn::ops::signature_of(name##_stub))>::run))
#define TRN_MAP_OWN(...)
#include "elementwise.def"
#include "elementwise_complex.def"
#include "special.def"
}  // namespace at::native
