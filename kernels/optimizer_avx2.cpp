// optimizer compiled for AVX2.
#include "optimizer.cpp"
