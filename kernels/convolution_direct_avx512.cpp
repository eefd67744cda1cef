// Direct convolutions compiled for AVX512.
#include "convolution_direct.cpp"
