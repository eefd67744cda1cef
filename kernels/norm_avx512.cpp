// norm compiled for AVX512.
#include "norm.cpp"
