// resample compiled for AVX512.
#include "resample.cpp"
