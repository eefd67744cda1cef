// pool.cpp compiled for AVX2.
#include "pool.cpp"
