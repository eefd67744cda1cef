// winograd_weight.cpp compiled for AVX2.
#include "winograd_weight.cpp"
