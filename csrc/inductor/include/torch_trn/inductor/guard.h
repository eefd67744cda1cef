// The current device inside a generated wrapper; the caller's is back at its end.
#pragma once

#include <torch_trn/inductor/runtime_api.h>

#include <stdexcept>

inline void trn_check(int code) {
  if (code != kTrnSuccess) throw std::runtime_error(trn_error_words(code));
}

class TrnDeviceGuard {
 public:
  explicit TrnDeviceGuard(int index) {
    trn_check(trn_get_device(&before_));
    set_index(index);
  }
  // As a package's generated code says it; work goes to the device's current stream.
  TrnDeviceGuard(void*, int index) : TrnDeviceGuard(index) {}
  ~TrnDeviceGuard() { trn_set_device(before_); }
  TrnDeviceGuard(const TrnDeviceGuard&) = delete;
  TrnDeviceGuard& operator=(const TrnDeviceGuard&) = delete;

  void set_index(int index) { trn_check(trn_set_device(index)); }

 private:
  int before_ = 0;
};
