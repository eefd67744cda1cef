// How messages call the device: programs written for CUDA read them, and look for words in them.
#pragma once

namespace trn {

// "TRN" and "trn", or "CUDA" and "cuda" while CUDA is redirected.
const char* spoken_platform();
const char* spoken_device();
bool speaks_of_cuda();
void speak_of_cuda(bool cuda);

}  // namespace trn
