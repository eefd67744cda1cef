// Drivers by name, the devices in use, and injected faults.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdlib>
#include <mutex>
#include <utility>

#include "base/option.h"
#include "driver/driver.h"

namespace trn::driver {
namespace {

struct Entry {
  std::string name;
  Open open;
};
std::vector<Entry>& registry() {
  static auto* entries = new std::vector<Entry>;  // outlives static destruction
  return *entries;
}

// Calls left until the injected fault; 0 is none.
std::atomic<int64_t> allocate_fault{0}, submit_fault{0};
std::atomic<bool> any_fault{false};
std::atomic<int64_t>* fault_of(const std::string& what) {
  return what == "allocate" ? &allocate_fault : what == "submit" ? &submit_fault : nullptr;
}

std::atomic<bool> forked_child{false};

// Python loads this library for itself alone; a driver from outside finds its symbols only after.
void show_symbols() {
  Dl_info here;
  if (dladdr(reinterpret_cast<void*>(&register_driver), &here))
    dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

// TRN_STRICT=fault:allocate:3 arms a fault before the first call.
void arm_from_options() {
  const std::string& strict = options().strict;
  for (size_t at = 0; (at = strict.find("fault:", at)) != std::string::npos;) {
    at += 6;
    const size_t colon = strict.find(':', at);
    if (colon == std::string::npos) return;
    inject_fault(strict.substr(at, colon - at), std::atoll(strict.c_str() + colon + 1));
  }
}

}  // namespace

bool register_driver(const char* name, Open open) {
  registry().push_back({name, open});
  return true;
}

Result<std::vector<std::unique_ptr<Device>>> open_driver(const std::string& name) {
  const auto find = [&]() -> Open {
    for (const Entry& e : registry())
      if (e.name == name) return e.open;
    return nullptr;
  };
  if (Open open = find()) return open();
  if (name.find('/') == std::string::npos)
    return Status(Code::unavailable, "no driver is called '" + name + "'");
  // A driver from outside: a library that registers itself under its own path or any new name.
  const size_t known = registry().size();
  show_symbols();
  if (!dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL)) return Status(Code::unavailable, dlerror());
  if (registry().size() == known)
    return Status(Code::unavailable, "'" + name + "' registers no driver");
  // Under its path too: the library registers only when it is loaded the first time.
  registry().push_back({name, registry().back().open});
  return registry().back().open();
}

const std::vector<Device*>& devices(Status* why) {
  struct Opened {
    std::vector<Device*> devices;
    Status status;
  };
  // Leaked on purpose: queues may still be at work while the process ends.
  static const Opened* opened = [] {
    auto* o = new Opened;
    arm_from_options();
    pthread_atfork(nullptr, nullptr, [] { forked_child.store(true); });
    auto result = open_driver(options().driver);
    o->status = result.status();
    if (result.ok())
      for (auto& device : result.value()) o->devices.push_back(device.release());
    return o;
  }();
  if (why) *why = opened->status;
  return opened->devices;
}

bool in_forked_child() { return forked_child.load(std::memory_order_relaxed); }

void inject_fault(const std::string& what, int64_t n) {
  if (auto* fault = fault_of(what)) fault->store(n);
  any_fault.store(allocate_fault > 0 || submit_fault > 0);
}

bool fault_due(const char* what) {
  if (!any_fault.load(std::memory_order_relaxed)) return false;  // the way of every call but tests'
  auto* fault = fault_of(what);
  if (!fault || fault->load(std::memory_order_relaxed) <= 0) return false;
  return fault->fetch_sub(1) == 1;
}

}  // namespace trn::driver
