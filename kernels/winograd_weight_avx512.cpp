// winograd_weight.cpp compiled for AVX512.
#include "winograd_weight.cpp"
