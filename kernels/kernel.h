// The kernel contract: what a launch carries, what a kernel is, and how one registers.
//
// A kernel takes plain data, allocates nothing, cannot fail and knows no torch. The operator that
// launches it has checked everything that can be checked without reading device memory; what only
// the data can tell (an index out of range) is reported through Range::fault.
#pragma once

#include <atomic>
#include <cstdint>

#include "dtype.h"

// Instruction set that a source file is compiled for; the build sets it from the file's suffix.
#ifndef TRN_ISA
#define TRN_ISA portable
#endif
// Functions that kernel files share live in a namespace of the instruction set they are compiled
// for, so that no processor runs code made for another.
#define TRN_CONCAT_(a, b) a##b
#define TRN_CONCAT(a, b) TRN_CONCAT_(a, b)
#define TRN_ISA_NAMESPACE TRN_CONCAT(isa_, TRN_ISA)
#define TRN_INLINE inline __attribute__((always_inline))

namespace trn {

inline constexpr int kMaxDims = 8;
inline constexpr int kMaxOperands = 10;
inline constexpr int kMaxInts = 24;
inline constexpr int kMaxReals = 8;
inline constexpr int64_t kScratchBytes = 4 << 20;  // private memory of each compute thread

// A strided view of device memory. `sizes` and `strides` count elements, outermost first.
// With data == nullptr it is an immediate: one scalar held in `value`, all strides 0; with
// ndim < 0 it is absent: an optional argument that was not given.
struct Operand {
  void* data;
  DType dtype;
  int8_t ndim;
  union Value {
    int64_t i;    // integers and bool
    double r[2];  // floating point; complex as (real, imaginary)
  } value;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxDims];

  TRN_INLINE bool absent() const { return ndim < 0; }
  template <class T>
  TRN_INLINE T* as() const {
    return static_cast<T*>(data);
  }
  TRN_INLINE int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= sizes[d];
    return n;
  }
};

struct Kernel;

// One launch. Trivially copyable: it can be printed, replayed, counted and captured.
// The kernel says above its definition what operands, ints and reals mean to it.
struct Call {
  const Kernel* kernel;
  int64_t work;           // independent items; the driver hands out ranges of [0, work)
  int64_t grain;          // fewest items worth a thread of their own
  int32_t noperands;      // operands [0, noperands) are valid
  int32_t noutputs;       // of these the first are written (and may be read)
  int32_t site;           // who launched it: see ops/launch.h; 0 is unknown
  int16_t nints, nreals;  // of ints and reals the first are valid
  int64_t ints[kMaxInts];
  double reals[kMaxReals];
  Operand operand[kMaxOperands];
};

// What a kernel found wrong in the data. The first fault of a queue wins and is thrown at the
// next synchronisation, as a device-side assertion is.
enum class FaultKind : int32_t { none, index_out_of_range, assertion, bad_probability };
struct Fault {
  std::atomic<int32_t> kind{0};
  int64_t index = 0, size = 0;  // the offending index and the bound it broke
  void report(FaultKind k, int64_t i = 0, int64_t n = 0);
};

// The part of a call that one thread computes, with that thread's scratch memory (64-byte
// aligned, kScratchBytes long). A result may not depend on where ranges begin and end.
struct Range {
  int64_t begin, end;
  char* scratch;
  Fault* fault;
};

// Ranks of implementation, in order of preference; `reference` is used only when asked for.
enum class Isa : int8_t { reference, portable, avx2, avx512, amx };

struct Kernel {
  const char* name;  // family, e.g. "softmax"
  DType dtype;       // type it computes in; operands may be stored in others where it says so
  Isa isa;
  void (*run)(const Call&, const Range&);
};

// Adds a kernel to the registry; used through TRN_KERNEL at namespace scope only.
bool register_kernel(const char* name, DType dtype, Isa isa,
                     void (*run)(const Call&, const Range&));

// The best kernel of a name and type on this processor within TRN_KERNELS, or null. Thread-safe.
const Kernel* find_kernel(const char* name, DType dtype);

// The kernels of one name, looked up once a type. Meant to be a static at the call site.
class Family {
 public:
  constexpr explicit Family(const char* name) : name_(name) {}
  const Kernel* operator[](DType dtype) const {
    const Kernel* k = best_[static_cast<int>(dtype)].load(std::memory_order_acquire);
    return k ? k : lookup(dtype);
  }
  const char* name() const { return name_; }

 private:
  const Kernel* lookup(DType dtype) const;
  const char* name_;
  mutable std::atomic<const Kernel*> best_[kDTypes]{};
};

// All registered kernels, for listings: fills up to `capacity` entries, returns how many exist.
int64_t all_kernels(const Kernel** out, int64_t capacity);

const char* isa_name(Isa isa);
// Highest instruction set this processor runs, after TRN_KERNELS (reference, portable, avx2,
// avx512, amx) has capped it.
Isa active_isa();
// Changes the cap at run time (tests); clears every Family's memory of its choice.
void set_active_isa(Isa isa);

}  // namespace trn

// TRN_KERNEL(softmax, f32)(const Call& call, const Range& range) { ... }
// defines and registers the kernel softmax_f32_<isa of this file>.
#define TRN_KERNEL(name, type)                                                               \
  static void name##_##type(const ::trn::Call& call, const ::trn::Range& range);             \
  [[maybe_unused]] static const bool registered_##name##_##type =                            \
      ::trn::register_kernel(#name, ::trn::DType::type, ::trn::Isa::TRN_ISA, name##_##type); \
  static void name##_##type
// Registers an existing function, e.g. an instance of a template, under a name and a type.
#define TRN_REGISTER(name, type, ...)                                       \
  [[maybe_unused]] static const bool TRN_CONCAT(registered_, __COUNTER__) = \
      ::trn::register_kernel(name, type, ::trn::Isa::TRN_ISA, __VA_ARGS__)
// Registers both instances of a template under its own name: float, which halves compute in, and
// double.
#define TRN_REGISTER_REALS(name)                       \
  TRN_REGISTER(#name, ::trn::DType::f32, name<float>); \
  TRN_REGISTER(#name, ::trn::DType::f64, name<double>)
