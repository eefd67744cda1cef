// Integer reductions compiled for AVX2.
#include "reduce_int.cpp"
