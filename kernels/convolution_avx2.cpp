// Convolutions compiled for AVX2.
#include "convolution.cpp"
