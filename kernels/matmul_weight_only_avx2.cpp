// Weight-only linear layers compiled for AVX2.
#include "matmul_weight_only.cpp"
