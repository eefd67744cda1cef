// optimizer compiled for AVX512.
#include "optimizer.cpp"
