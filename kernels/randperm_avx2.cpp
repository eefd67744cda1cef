// A random permutation compiled for AVX2.
#include "randperm.cpp"
