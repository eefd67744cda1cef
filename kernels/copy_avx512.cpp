// Copies compiled for AVX512.
#include "copy.cpp"
