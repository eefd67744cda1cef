// random compiled for AVX512.
#include "random.cpp"
