// Reductions compiled for AVX2.
#include "reduce.cpp"
