// Gradients of convolutions' weights compiled for AVX2.
#include "convolution_weight.cpp"
