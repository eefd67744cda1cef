// Depthwise convolutions compiled for AVX512.
#include "depthwise_planes.cpp"
