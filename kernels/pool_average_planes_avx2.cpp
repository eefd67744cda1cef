// pool_average_planes.cpp compiled for AVX2.
#include "pool_average_planes.cpp"
