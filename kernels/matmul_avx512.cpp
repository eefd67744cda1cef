// Matrix products compiled for AVX512.
#include "matmul.cpp"
