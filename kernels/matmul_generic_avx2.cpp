// Matrix products of integers compiled for AVX2.
#include "matmul_generic.cpp"
