// Gradients of convolutions' weights compiled for AVX512.
#include "convolution_weight.cpp"
