// Cache sizes and extensions of the instruction set.
#include "processor.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace trn {
namespace {

int64_t cache_bytes(int name, int64_t otherwise) {
  const int64_t size = sysconf(name);
  return size > 0 ? size : otherwise;
}

// Of the third level the C library may count what belongs to cores that a virtual machine has not;
// the kernel says what the first core has.
int64_t third_level_bytes() {
  long kibibytes = 0;
  if (FILE* file = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (std::fscanf(file, "%ldK", &kibibytes) != 1) kibibytes = 0;
    std::fclose(file);
  }
  return kibibytes > 0 ? kibibytes * 1024 : cache_bytes(_SC_LEVEL3_CACHE_SIZE, 16 << 20);
}

}  // namespace

const Caches& caches() {
  static const Caches all{cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                          cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20), third_level_bytes()};
  return all;
}

bool has_dot_products() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool has_tiles() {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  // Threads carry 8 KiB of tiles only once their process has asked to (arch/x86,
  // XFEATURE_XTILEDATA).
  constexpr long kRequestFeature = 0x1023, kTileData = 18;
  static const bool has = has_dot_products() && __builtin_cpu_supports("amx-tile") &&
                          __builtin_cpu_supports("amx-bf16") &&
                          __builtin_cpu_supports("amx-int8") &&
                          syscall(SYS_arch_prctl, kRequestFeature, kTileData) == 0;
  return has;
#else
  return false;
#endif
}

}  // namespace trn
