// Copies compiled for AVX2.
#include "copy.cpp"
