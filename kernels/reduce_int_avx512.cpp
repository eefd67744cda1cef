// Integer reductions compiled for AVX512.
#include "reduce_int.cpp"
