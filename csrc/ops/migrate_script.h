// Redirecting CUDA in TorchScript, where an operator of its own stands before the dispatcher.
#pragma once

namespace trn::ops {

// Tensor.to(device) of scripted functions takes a CUDA device for trn's; functions that ran before
// keep what they have. restore_script takes it back.
void redirect_script();
void restore_script();

}  // namespace trn::ops
