// Holds the hooks that turn a launch into a line of the user's program.
#include "base/site.h"

#include <atomic>

namespace trn {
namespace {
std::atomic<int32_t (*)()> capture_hook{nullptr};
std::atomic<std::string (*)(int32_t)> text_hook{nullptr};
}  // namespace

int32_t capture_site() {
  auto* hook = capture_hook.load(std::memory_order_acquire);
  return hook ? hook() : 0;
}

std::string site_text(int32_t site) {
  auto* hook = text_hook.load(std::memory_order_acquire);
  return hook && site ? hook(site) : std::string();
}

void set_site_hooks(int32_t (*capture)(), std::string (*text)(int32_t)) {
  capture_hook.store(capture, std::memory_order_release);
  text_hook.store(text, std::memory_order_release);
}

}  // namespace trn
