// Depthwise convolutions compiled for AVX2.
#include "depthwise.cpp"
