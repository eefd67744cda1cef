// What the processor offers beside its rank of instruction set.
#pragma once

#include "kernel.h"

namespace trn {

// Bytes of one core's data caches, of all cores' third level; common sizes where unknown.
struct Caches {
  int64_t l1, l2, l3;
};
const Caches& caches();

// Whether AVX512 comes with dot products of bfloat16 and of bytes. Files named
// <family>_avx512_dot.cpp are compiled for them and register their kernels only then; those they
// replace are registered only otherwise. Safe during static initialisation.
bool has_dot_products();

// Whether AMX comes with products of bfloat16 and of bytes, and the system lets this process use
// its registers, for which it is asked. Safe during static initialisation.
bool has_tiles();

}  // namespace trn

// TRN_REGISTER under a condition that is known when the library is loaded.
#define TRN_REGISTER_IF(condition, name, type, ...)                         \
  [[maybe_unused]] static const bool TRN_CONCAT(registered_, __COUNTER__) = \
      (condition) && ::trn::register_kernel(name, type, ::trn::Isa::TRN_ISA, __VA_ARGS__)

// Whether the kernel for bfloat16 of this file's rank is not left to <family>_avx512_dot.cpp.
#if defined(__AVX512F__)
#define TRN_NO_DOT !::trn::has_dot_products()
#else
#define TRN_NO_DOT true
#endif
