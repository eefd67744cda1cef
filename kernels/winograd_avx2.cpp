// winograd.cpp compiled for AVX2.
#include "winograd.cpp"
