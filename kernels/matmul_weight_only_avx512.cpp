// Weight-only linear layers compiled for AVX512.
#include "matmul_weight_only.cpp"
