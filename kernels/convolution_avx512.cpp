// Convolutions compiled for AVX512.
#include "convolution.cpp"
