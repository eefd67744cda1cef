// Machine limits of the dot products of bfloat16 and of bytes; operands as in probe.cpp.
#include <immintrin.h>

#include "processor.h"

namespace trn {
namespace {

constexpr int kChains = 16;

void peak_bf16(const Call& call, const Range& range) {
  const int64_t rounds = call.ints[0];
  for (int64_t item = range.begin; item < range.end; ++item) {
    __m512 sum[kChains];
    for (auto& s : sum) s = _mm512_setzero_ps();
    const __m512 factor = _mm512_setzero_ps();
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 16
      for (int c = 0; c < kChains; ++c) {
        sum[c] = _mm512_dpbf16_ps(sum[c], (__m512bh)factor, (__m512bh)factor);
        asm volatile("" : "+v"(sum[c]));  // keeps equal chains from being computed as one
      }
    for (int c = 1; c < kChains; ++c) sum[0] = _mm512_add_ps(sum[0], sum[c]);
    call.operand[0].as<double>()[item] = static_cast<double>(rounds) * kChains * 32 * 2 +
                                         static_cast<double>(_mm512_reduce_add_ps(sum[0]));
  }
}

void peak_bytes(const Call& call, const Range& range) {
  const int64_t rounds = call.ints[0];
  for (int64_t item = range.begin; item < range.end; ++item) {
    __m512i sum[kChains];
    for (auto& s : sum) s = _mm512_setzero_si512();
    const __m512i factor = _mm512_setzero_si512();
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 16
      for (int c = 0; c < kChains; ++c) {
        sum[c] = _mm512_dpbusd_epi32(sum[c], factor, factor);
        asm volatile("" : "+v"(sum[c]));
      }
    for (int c = 1; c < kChains; ++c) sum[0] = _mm512_add_epi32(sum[0], sum[c]);
    call.operand[0].as<double>()[item] = static_cast<double>(rounds) * kChains * 64 * 2 +
                                         static_cast<double>(_mm512_reduce_add_epi32(sum[0]));
  }
}

TRN_REGISTER_IF(has_dot_products(), "probe_peak", DType::bf16, peak_bf16);
TRN_REGISTER_IF(has_dot_products(), "probe_peak", DType::i8, peak_bytes);

}  // namespace
}  // namespace trn
