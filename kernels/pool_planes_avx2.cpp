// pool_planes.cpp compiled for AVX2.
#include "pool_planes.cpp"
