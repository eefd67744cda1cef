// Weight-only linear layers of bfloat16 through its dot products: weights become bfloat16, exactly.
// Few rows are multiplied as weights stream by; more of them by packed panels.
#include "matmul_pairs.h"
#include "matmul_weight_only.h"

namespace trn {
namespace {

constexpr int64_t kMostRows = 8;                   // that weights stream by for
constexpr int64_t kRowRun = 4096;                  // of k: rows of 8 KiB
constexpr int64_t kBlock = 128;                    // of k: 64 bytes of nibbles
constexpr int64_t kGroupRoom = kRowRun / 32 + 16;  // for scales of a run's groups, and to read more

TRN_INLINE __m512 products(__m512 sum, __m512i x, __m512i y) {
  return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
}
TRN_INLINE __m512i ones() { return _mm512_set1_epi16(0x3f80); }

// 32 bytes as bfloat16.
TRN_INLINE __m512i of_bytes(__m256i bytes) {
  const __m512i low = _mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes));
  const __m512i high = _mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1));
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(high), _mm512_cvtepi32_ps(low));
}

typedef uint16_t Words __attribute__((vector_size(64)));

// bfloat16 of w - 8 for the low four bits w of an index; the permutation looks at five.
TRN_INLINE __m512i of_nibbles() {
  Words w;
  for (int i = 0; i < 32; ++i)
    w[i] =
        static_cast<uint16_t>(__builtin_bit_cast(uint32_t, static_cast<float>(i % 16 - 8)) >> 16);
  return (__m512i)w;
}

// Every second element of two vectors.
template <int first>
TRN_INLINE __m512i every_second(__m512i a, __m512i b) {
  Words w;
  for (int i = 0; i < 32; ++i) w[i] = static_cast<uint16_t>(2 * i + first);
  return _mm512_permutex2var_epi16(a, (__m512i)w, b);
}

struct PairWeights : PairMath {
  TRN_INLINE static Floats sum_up(Floats sum, Units units) {
    return (Floats)products((__m512)sum, (__m512i)units, ones());
  }
  template <class Weights>
  static void widen(bf16_t* to, const Operand& w, int64_t column, int64_t k0, int64_t depth) {
    const __m512i numbers = of_nibbles();
    for (int64_t q = 0; q < depth; q += 32) {
      const char* from =
          w.as<char>() + column * w.sizes[2] + (k0 + q) / (Weights::kGrouped ? 2 : 1);
      __m512i v;
      if constexpr (Weights::kGrouped) {
        const auto mask = static_cast<__mmask16>(low_bits((depth - q) / 2));
        v = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from));
        v = _mm512_or_si512(_mm512_srli_epi32(v, 4), _mm512_slli_epi32(v, 16));
        v = _mm512_permutexvar_epi16(v, numbers);
      } else {
        v = of_bytes(_mm256_maskz_loadu_epi8(low_bits(depth - q), from));
      }
      __builtin_prefetch(from + 2 * w.sizes[2]);  // for columns to come
      _mm512_storeu_si512(to + q, v);
    }
  }
};

// Dot products of rows with columns, `line` bytes apart, of bytes.
struct ByteDots {
  template <int rows, int columns>
  static void dots(const bf16_t* left, const char* y, int64_t line, int64_t depth, const float*,
                   int64_t, float* sums) {
    __m512 sum[rows][columns] = {};
    for (int64_t q = 0; q < depth; q += 32) {
      __m512i v[columns];
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) {
        const char* from = y + c * line + q;
        v[c] = of_bytes(_mm256_maskz_loadu_epi8(low_bits(depth - q), from));
        __builtin_prefetch(from + columns * line, 0, 2);  // for the next columns
      }
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const __m512i x = _mm512_loadu_si512(left + r * kRowRun + q);
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) sum[r][c] = products(sum[r][c], x, v[c]);
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c)
        sums[r * kColumnsOfItem + c] += PlainDots<bf16_t, float>::total((Floats)sum[r][c]);
  }
};

// Of nibbles: a lane sums eight neighbours of k, which share a scale. Rows lie as arrange() has
// them; scales of a column kGroupRoom apart.
struct NibbleDots {
  template <int rows, int columns>
  static void dots(const bf16_t* left, const char* y, int64_t line, int64_t depth,
                   const float* scales, int64_t group, float* sums) {
    const __m512i numbers = of_nibbles();
    typedef int32_t Lanes __attribute__((vector_size(64)));
    Lanes group_of;
    for (int i = 0; i < 16; ++i) group_of[i] = static_cast<int32_t>(8 * i / group);
    __m512 sum[rows][columns] = {};
    for (int64_t q = 0; q < depth; q += kBlock, left += kBlock) {
      const int64_t bytes = (depth - q) / 2;
      const __mmask64 mask = bytes >= 64 ? ~0ull : (1ull << bytes) - 1;
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) {
        const char* from = y + c * line + q / 2;
        __m512i code = _mm512_maskz_loadu_epi8(mask, from), v[4];
        __builtin_prefetch(from + columns * line, 0, 2);  // for the next columns
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
          v[i] = _mm512_permutexvar_epi16(_mm512_srli_epi16(code, 4 * i), numbers);
        const __m512 scale = _mm512_permutexvar_ps(
            (__m512i)group_of, _mm512_loadu_ps(scales + c * kGroupRoom + q / group));
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) {
          __m512 part = _mm512_setzero_ps();
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i)
            part = products(part, v[i], _mm512_loadu_si512(left + r * kRowRun + 32 * i));
          sum[r][c] = _mm512_fmadd_ps(part, scale, sum[r][c]);
        }
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c)
        sums[r * kColumnsOfItem + c] += PlainDots<bf16_t, float>::total((Floats)sum[r][c]);
  }

  // The four elements of k that two bytes hold, each kind in a vector of its own.
  static void arrange(bf16_t* row, int64_t depth) {
    for (int64_t q = 0; q < depth; q += kBlock, row += kBlock) {
      __m512i v[4];
      for (int i = 0; i < 4; ++i) v[i] = _mm512_loadu_si512(row + 32 * i);
      const __m512i even[2] = {every_second<0>(v[0], v[1]), every_second<0>(v[2], v[3])};
      const __m512i odd[2] = {every_second<1>(v[0], v[1]), every_second<1>(v[2], v[3])};
      _mm512_storeu_si512(row, every_second<0>(odd[0], odd[1]));
      _mm512_storeu_si512(row + 32, every_second<0>(even[0], even[1]));
      _mm512_storeu_si512(row + 64, every_second<1>(odd[0], odd[1]));
      _mm512_storeu_si512(row + 96, every_second<1>(even[0], even[1]));
    }
  }
};

// The memory of a stream: sums of rows, rows of A, their sums by group, scales by column.
struct Stream {
  float sums[kMostRows * kColumnsOfItem];
  bf16_t left[kMostRows * kRowRun];
  float totals[kMostRows][kGroupRoom];
  float scales[kColumnsOfItem * kGroupRoom];
  float pairs[16][2 * kColumnsOfItem];
  static_assert(kGroupRoom % 16 == 0);
};
static_assert(sizeof(Stream) <= kScratchBytes);

// Scales of the run's groups by column; zeros times the sums of rows go to the sums.
TRN_INLINE void take_groups(const Call& call, int64_t j0, int64_t n, int64_t first, int64_t groups,
                            Stream& s) {
  const Operand& o = call.operand[3];
  const int64_t m = call.operand[0].sizes[1], all = call.operand[0].sizes[2];
  for (int64_t g0 = 0; g0 < groups; g0 += 16) {
    const int64_t count = groups - g0 < 16 ? groups - g0 : 16;
    for (int64_t g = 0; g < count; ++g)
      TRN_ISA_NAMESPACE::convert_run(s.pairs[g], DType::f32, 1,
                                     element(o, 2 * ((first + g0 + g) * all + j0)), o.dtype, 1,
                                     2 * n);
    for (int64_t j = 0; j < n; j += 16) {
      Floats scale[16] = {};
      for (int64_t g = 0; g < count; ++g) {
        const Floats a = *reinterpret_cast<const Floats*>(s.pairs[g] + 2 * j);
        const Floats b = *reinterpret_cast<const Floats*>(s.pairs[g] + 2 * j + 16);
        scale[g] = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26,
                                           28, 30);
        const Floats zero = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23,
                                                    25, 27, 29, 31);
        for (int64_t i = 0; i < m; ++i)
          *reinterpret_cast<Floats*>(s.sums + i * kColumnsOfItem + j) += s.totals[i][g0 + g] * zero;
      }
      transpose<Floats, 16>(scale);
      for (int c = 0; c < 16; ++c)
        *reinterpret_cast<Floats*>(s.scales + (j + c) * kGroupRoom + g0) = scale[c];
    }
  }
}

// Rows of A over a run of k, zeros behind it, as the dot products read them.
template <class Weights>
void take_rows(const Problem& p, int64_t k0, int64_t depth, int64_t group, Stream& s) {
  for (int64_t i = 0; i < p.m; ++i) {
    bf16_t* row = s.left + i * kRowRun;
    TRN_ISA_NAMESPACE::convert_run(row, DType::bf16, 1,
                                   element(p.a, i * p.a.strides[1] + k0 * p.a.strides[2]),
                                   p.a.dtype, p.a.strides[2], depth);
    for (int64_t q = depth; q % kBlock; ++q) row[q].bits = 0;
    if constexpr (Weights::kGrouped) {
      for (int64_t q = 0; q < depth; q += group) {
        Floats sum{};
        for (int64_t e = q; e < q + group; e += 32)
          sum = PairWeights::sum_up(sum, (Units)_mm512_loadu_si512(row + e));
        s.totals[i][q / group] = PlainDots<bf16_t, float>::total(sum);
      }
      NibbleDots::arrange(row, depth);
    }
  }
}

template <class Weights, class Dots>
void stream_weights(const Call& call, int64_t j0, int64_t n, char* scratch) {
  Stream& s = *reinterpret_cast<Stream*>(scratch);
  Problem p = problem_of(call, 0);
  p.d.ndim = -1;
  const Operand& w = call.operand[2];
  const int64_t line = w.sizes[2], group = call.ints[2], per = Weights::kGrouped ? 2 : 1;
  __builtin_memset(s.sums, 0, p.m * kColumnsOfItem * sizeof(float));
  for (int64_t k0 = 0; k0 < p.k; k0 += kRowRun) {
    const int64_t depth = p.k - k0 < kRowRun ? p.k - k0 : kRowRun;
    take_rows<Weights>(p, k0, depth, group, s);
    if constexpr (Weights::kGrouped) take_groups(call, j0, n, k0 / group, depth / group, s);
    const auto at = [&]<int columns>(int64_t j) {
      Thin<bf16_t, float>::by_rows(p.m, [&]<int rows>(int64_t i) {
        Dots::template dots<rows, columns>(
            s.left + i * kRowRun, w.as<char>() + (j0 + j) * line + k0 / per, line, depth,
            s.scales + j * kGroupRoom, group, s.sums + i * kColumnsOfItem + j);
      });
    };
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) at.template operator()<4>(j);
    for (; j < n; ++j) at.template operator()<1>(j);
  }
  if constexpr (!Weights::kGrouped) {
    Weights::take_scales(call, 0, j0, n, s.scales, nullptr, nullptr);
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < n; ++j) s.sums[i * kColumnsOfItem + j] *= s.scales[j];
  }
  for (int64_t i = 0; i < p.m; ++i)
    write_row<float>(p, s.sums + i * kColumnsOfItem, i, j0, n, false, s.pairs[0]);
}

template <class Weights, class Dots>
void multiply_halves(const Call& call, const Range& range) {
  if (call.operand[1].dtype != DType::bf16) return multiply_weights<Weights>(call, range);
  const int64_t n = call.operand[0].sizes[2];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t j0 = i * call.ints[1], left = n - j0;
    const int64_t columns = left < call.ints[1] ? left : call.ints[1];
    if (call.operand[0].sizes[1] <= kMostRows)
      stream_weights<Weights, Dots>(call, j0, columns, range.scratch);
    else multiply_widened<PairWeights, Weights>(call, j0, columns, range.scratch);
  }
}

TRN_REGISTER_IF(has_dot_products(), "matmul_weight_only", DType::i8,
                multiply_halves<Bytes, ByteDots>);
TRN_REGISTER_IF(has_dot_products(), "matmul_weight_only", DType::u8,
                multiply_halves<Nibbles, NibbleDots>);

}  // namespace
}  // namespace trn
