// Gradients of depthwise taps compiled for AVX512.
#include "depthwise_planes_weight.cpp"
