// Matrix products compiled for AVX2.
#include "matmul.cpp"
