// Gradients of depthwise taps compiled for AVX2.
#include "depthwise_planes_weight.cpp"
