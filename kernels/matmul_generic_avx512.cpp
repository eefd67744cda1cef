// Matrix products of integers compiled for AVX-512.
#include "matmul_generic.cpp"
