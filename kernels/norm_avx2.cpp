// norm compiled for AVX2.
#include "norm.cpp"
