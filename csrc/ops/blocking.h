// Operators that wait, wanted or not: what CUDA_LAUNCH_BLOCKING and torch.cuda's
// set_sync_debug_mode mean.
#pragma once

namespace trn::ops {

// Whether every launch waits until its kernel is done, so that errors come at their line.
void set_launch_blocking(bool blocking);

// Whether an operator that makes the host wait warns (1) or raises RuntimeError (2); 0: neither.
void set_sync_debug_mode(int mode);
int sync_debug_mode();

}  // namespace trn::ops
