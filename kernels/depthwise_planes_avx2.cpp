// Depthwise convolutions compiled for AVX2.
#include "depthwise_planes.cpp"
