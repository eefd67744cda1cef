// pool.cpp compiled for AVX512.
#include "pool.cpp"
