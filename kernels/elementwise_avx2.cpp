// The rows of elementwise.def compiled for AVX2.
#include "elementwise.cpp"
