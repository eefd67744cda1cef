// The environment: every variable that torch-trn reads, and nothing else.
#pragma once

#include <cstdint>
#include <string>

namespace trn {

struct Options {
  std::string driver = "host";    // TRN_DRIVER: host, null, or a library's path
  std::string fallback = "warn";  // TRN_FALLBACK: warn, error, silent
  std::string verbose;  // TRN_VERBOSE: comma list of exec, fallback, alloc, copy, sync, all
  std::string strict;  // TRN_STRICT: comma list of isolate, poison, bounds, races, fault:<what>:<n>
  int devices = 2;     // TRN_DEVICES
  int64_t memory = 0;  // TRN_MEMORY: bytes a device, with K, M, G; 0 is half of the host's
  // TRN_KERNELS is read by the kernel registry, which stands below this layer.
  bool has_strict(const char* word) const;
  bool has_verbose(const char* word) const;
};

// Read once, at the first call. A malformed value is reported on stderr and its default kept.
const Options& options();

}  // namespace trn
