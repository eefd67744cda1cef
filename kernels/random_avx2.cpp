// random compiled for AVX2.
#include "random.cpp"
