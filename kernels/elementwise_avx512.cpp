// The rows of elementwise.def compiled for AVX512.
#include "elementwise.cpp"
