// Reductions compiled for AVX512.
#include "reduce.cpp"
