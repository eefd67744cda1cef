// The kernel registry: who registered, and which is best on this processor.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "processor.h"

namespace trn {
namespace {

std::vector<const Kernel*>& registry() {
  static auto* all = new std::vector<const Kernel*>;  // outlives static destruction
  return *all;
}

std::atomic<int> cap{-1};

Isa processor_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::portable;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
    return Isa::avx2;
  return has_tiles() ? Isa::amx : Isa::avx512;
#else
  return Isa::portable;
#endif
}

Isa requested_isa() {
  const Isa highest = processor_isa();
  const char* text = std::getenv("TRN_KERNELS");
  if (!text || !*text) return highest;
  for (Isa isa : {Isa::reference, Isa::portable, Isa::avx2, Isa::avx512, Isa::amx})
    if (!std::strcmp(text, isa_name(isa))) return isa > highest ? highest : isa;
  std::fprintf(stderr,
               "torch-trn: TRN_KERNELS=%s is none of reference, portable, avx2, avx512, amx; "
               "using %s\n",
               text, isa_name(highest));
  return highest;
}

}  // namespace

void Fault::report(FaultKind k, int64_t i, int64_t n) {
  int32_t none = 0;
  // The first writer wins; index and size are read only after the call is over.
  if (kind.compare_exchange_strong(none, static_cast<int32_t>(k))) {
    index = i;
    size = n;
  }
}

bool register_kernel(const char* name, DType dtype, Isa isa,
                     void (*run)(const Call&, const Range&)) {
  registry().push_back(new Kernel{name, dtype, isa, run});
  return true;
}

const char* isa_name(Isa isa) {
  static const char* const names[] = {"reference", "portable", "avx2", "avx512", "amx"};
  return names[static_cast<int>(isa)];
}

Isa active_isa() {
  int isa = cap.load(std::memory_order_acquire);
  if (isa < 0) cap.store(isa = static_cast<int>(requested_isa()), std::memory_order_release);
  return static_cast<Isa>(isa);
}

const Kernel* find_kernel(const char* name, DType dtype) {
  const Isa highest = active_isa();
  const Kernel* best = nullptr;
  const Kernel* reference = nullptr;
  for (const Kernel* k : registry()) {
    if (k->dtype != dtype || std::strcmp(k->name, name)) continue;
    if (k->isa == Isa::reference) reference = k;
    else if (k->isa <= (highest == Isa::reference ? Isa::portable : highest) &&
             (!best || k->isa > best->isa))
      best = k;
  }
  return highest == Isa::reference && reference ? reference : best;
}

namespace {
// Families that remember a choice, so that set_active_isa can make them forget it.
std::mutex families_mutex;
std::vector<std::atomic<const Kernel*>*>& remembered() {
  static auto* slots = new std::vector<std::atomic<const Kernel*>*>;
  return *slots;
}
}  // namespace

const Kernel* Family::lookup(DType dtype) const {
  const Kernel* k = find_kernel(name_, dtype);
  if (!k) return nullptr;
  std::lock_guard lock(families_mutex);
  auto& slot = best_[static_cast<int>(dtype)];
  slot.store(k, std::memory_order_release);
  remembered().push_back(&slot);
  return k;
}

void set_active_isa(Isa isa) {
  std::lock_guard lock(families_mutex);
  const Isa highest = processor_isa();
  cap.store(static_cast<int>(isa > highest ? highest : isa), std::memory_order_release);
  for (auto* slot : remembered()) slot->store(nullptr, std::memory_order_release);
  remembered().clear();
}

int64_t all_kernels(const Kernel** out, int64_t capacity) {
  const auto& all = registry();
  for (int64_t i = 0; i < capacity && i < static_cast<int64_t>(all.size()); ++i) out[i] = all[i];
  return static_cast<int64_t>(all.size());
}

}  // namespace trn
