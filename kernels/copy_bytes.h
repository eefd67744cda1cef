// Copying runs of memory that do not overlap.
#pragma once

#include "kernel.h"

namespace trn {
namespace {

// An element that is as wide as a short row.
template <int kBytes>
struct __attribute__((packed, may_alias)) Element {
  uint8_t byte[kBytes];
};

// Copies n bytes, as the C library does but where that is slow. Short runs: it goes backwards where
// both addresses are alike in their lowest bits, which stops the processor's own fetching. Long
// ones: its string instruction takes ten times as long where the destination lies less than a cache
// line further on in its page than the source, as after a shift by one.
TRN_INLINE void copy_bytes(void* dst, const void* src, int64_t n) {
  constexpr int64_t kBytes = 256, kShort = 2560, kPage = 4096, kLineBytes = 64;
  char* to = static_cast<char*>(dst);
  const char* from = static_cast<const char*>(src);
  const uint64_t ahead =
      (reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from)) % kPage;
  if (n > kShort && (ahead == 0 || ahead >= kLineBytes)) {
    __builtin_memcpy(to, from, n);
    return;
  }
  using Piece = Element<kBytes>;
  int64_t i = 0;
  for (; i + kBytes <= n; i += kBytes)
    *reinterpret_cast<Piece*>(to + i) = *reinterpret_cast<const Piece*>(from + i);
  __builtin_memcpy(to + i, from + i, n - i);
}

}  // namespace
}  // namespace trn
