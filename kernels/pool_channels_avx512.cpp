// pool_channels.cpp compiled for AVX512.
#include "pool_channels.cpp"
