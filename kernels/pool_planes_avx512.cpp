// pool_planes.cpp compiled for AVX512.
#include "pool_planes.cpp"
