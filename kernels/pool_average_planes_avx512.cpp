// pool_average_planes.cpp compiled for AVX512.
#include "pool_average_planes.cpp"
