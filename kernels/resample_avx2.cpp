// resample compiled for AVX2.
#include "resample.cpp"
