// pool_channels.cpp compiled for AVX2.
#include "pool_channels.cpp"
