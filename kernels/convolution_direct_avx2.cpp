// Direct convolutions compiled for AVX2.
#include "convolution_direct.cpp"
