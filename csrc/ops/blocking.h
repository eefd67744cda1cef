// Launches that wait: CUDA_LAUNCH_BLOCKING's meaning.
#pragma once

namespace trn::ops {

// Whether every launch waits until its kernel is done, so that errors come at their line.
void set_launch_blocking(bool blocking);

}  // namespace trn::ops
