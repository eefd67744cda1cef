// Depthwise convolutions compiled for AVX512.
#include "depthwise.cpp"
