// Unsigned keys in the order that PyTorch sorts by.
#pragma once

#include "convert.h"
#include "lines.h"

namespace trn {
namespace {

// clang-format off
template <int Bytes> struct UnsignedOf;
template <> struct UnsignedOf<1> { using type = uint8_t; };
template <> struct UnsignedOf<2> { using type = uint16_t; };
template <> struct UnsignedOf<4> { using type = uint32_t; };
template <> struct UnsignedOf<8> { using type = uint64_t; };
template <class T> using key_t = typename UnsignedOf<sizeof(T)>::type;
// clang-format on

// clang-format off
template <class T> inline constexpr bool is_signed_int = static_cast<T>(-1) < static_cast<T>(0);
template <> inline constexpr bool is_signed_int<bool> = false;
template <class T> inline constexpr bool is_floating = false;
template <> inline constexpr bool is_floating<float> = true;
template <> inline constexpr bool is_floating<double> = true;
template <> inline constexpr bool is_floating<f16_t> = true;
template <> inline constexpr bool is_floating<bf16_t> = true;
// clang-format on

template <class K>
inline constexpr K kSignBit = static_cast<K>(K{1} << (8 * sizeof(K) - 1));
// The key of every NaN in ascending order; no other value has it.
template <class T>
inline constexpr key_t<T> kNanKey = static_cast<key_t<T>>(~key_t<T>{0});

// a sorts before b exactly where key_of(a) < key_of(b): NaN comes last, zeros are alike.
template <class T>
TRN_INLINE key_t<T> key_of(T x) {
  using K = key_t<T>;
  const K bits = bit_cast<K>(x);
  if constexpr (is_floating<T>) {
    const K ordered = static_cast<K>(bits & kSignBit<K> ? ~bits : bits | kSignBit<K>);
    return x != x ? kNanKey<T> : x == static_cast<T>(0.f) ? kSignBit<K> : ordered;
  } else if constexpr (is_signed_int<T>) {
    return static_cast<K>(bits ^ kSignBit<K>);
  } else {
    return bits;
  }
}
// The value of a key where there is only one: not for NaN and zero of floating-point types.
template <class T>
TRN_INLINE T value_of(key_t<T> key) {
  using K = key_t<T>;
  if constexpr (is_floating<T>)
    return bit_cast<T>(static_cast<K>(key & kSignBit<K> ? key ^ kSignBit<K> : ~key));
  else if constexpr (is_signed_int<T>) return bit_cast<T>(static_cast<K>(key ^ kSignBit<K>));
  else return bit_cast<T>(key);
}
template <class T>
TRN_INLINE bool has_one_value(key_t<T> key) {
  return !is_floating<T> || (key != kNanKey<T> && key != kSignBit<key_t<T>>);
}

// A key and its position as one number: their order is a stable sort's. Positions below 2^32.
// clang-format off
template <class K> struct PackedOf { using type = uint64_t; };
template <> struct PackedOf<uint64_t> { using type = unsigned __int128; };
template <class T> using packed_t = typename PackedOf<key_t<T>>::type;
// clang-format on
template <class T>
TRN_INLINE packed_t<T> pack(key_t<T> key, int64_t position) {
  return static_cast<packed_t<T>>(key) << 32 | static_cast<uint32_t>(position);
}
template <class P>
TRN_INLINE uint32_t position_of(P packed) {
  return static_cast<uint32_t>(packed);
}

template <class P>
TRN_INLINE void insertion_sort(P* p, int64_t n) {
  for (int64_t k = 1; k < n; ++k) {
    const P x = p[k];
    int64_t j = k;
    for (; j > 0 && x < p[j - 1]; --j) p[j] = p[j - 1];
    p[j] = x;
  }
}
// Sorts a[0, n) with room for as much in b; returns where the result is.
template <class P>
TRN_INLINE P* merge_sort(P* a, P* b, int64_t n) {
  constexpr int64_t kRun = 8;  // sorted by insertion before merging
  for (int64_t k = 0; k < n; k += kRun) insertion_sort(a + k, k + kRun < n ? kRun : n - k);
  for (int64_t width = kRun; width < n; width *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * width) {
      const int64_t middle = begin + width < n ? begin + width : n;
      const int64_t end = middle + width < n ? middle + width : n;
      int64_t i = begin, j = middle, k = begin;
      while (i < middle && j < end) {
        const bool right = a[j] < a[i];
        b[k++] = right ? a[j] : a[i];
        j += right;
        i += !right;
      }
      while (i < middle) b[k++] = a[i++];
      while (j < end) b[k++] = a[j++];
    }
    P* t = a;
    a = b;
    b = t;
  }
  return a;
}

// Every type that has an order.
#define TRN_REGISTER_ORDERED(name)                 \
  TRN_REGISTER_FLOATS(name, name);                 \
  TRN_REGISTER_INTS(name, name);                   \
  TRN_REGISTER(#name, DType::u16, name<uint16_t>); \
  TRN_REGISTER(#name, DType::u32, name<uint32_t>); \
  TRN_REGISTER(#name, DType::u64, name<uint64_t>)

}  // namespace
}  // namespace trn
