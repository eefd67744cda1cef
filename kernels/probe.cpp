// What the machine can do at most: arithmetic without memory, and copies within one cache level.
//
// operand 0: f64 [work], receives the operations (or bytes) of each item. ints[0]: rounds.
#include "blocks.h"

namespace trn {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kChains = 16;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kChains = 12;
#else
constexpr int kVectorBytes = 16, kChains = 12;
#endif

// Independent chains of multiply-adds, enough of them to hide an addition's latency.
template <class T>
void probe_peak(const Call& call, const Range& range) {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  const int64_t rounds = call.ints[0];
  for (int64_t item = range.begin; item < range.end; ++item) {
    Vector sum[kChains] = {};
    const Vector factor = Vector{} + T(0.5);
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 16
      for (int c = 0; c < kChains; ++c) {
        sum[c] = sum[c] * factor + factor;
#if defined(__x86_64__)
        asm volatile("" : "+v"(sum[c]));  // keeps equal chains from being computed as one
#endif
      }
    for (int c = 1; c < kChains; ++c) sum[0] += sum[c];
    // The sums are finite, so that adding their difference keeps the count.
    call.operand[0].as<double>()[item] =
        static_cast<double>(rounds) * kChains * (kVectorBytes / sizeof(T)) * 2 +
        static_cast<double>(sum[0][0] - sum[0][0]);
  }
}

// operand 1: bytes [work, 2, size]; an item copies its first half to its second, `rounds` times.
void probe_copy(const Call& call, const Range& range) {
  const int64_t rounds = call.ints[0], size = call.operand[1].sizes[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    char* half = call.operand[1].as<char>() + item * 2 * size;
    for (int64_t i = 0; i < rounds; ++i) {
      __builtin_memcpy(half + size, half, size);
      asm volatile("" ::: "memory");
    }
    call.operand[0].as<double>()[item] = 2.0 * static_cast<double>(rounds * size);
  }
}

TRN_REGISTER_REALS(probe_peak);
TRN_REGISTER("probe_copy", DType::u8, probe_copy);

}  // namespace
}  // namespace trn
