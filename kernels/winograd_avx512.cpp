// winograd.cpp compiled for AVX512.
#include "winograd.cpp"
