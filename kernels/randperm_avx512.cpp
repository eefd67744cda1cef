// A random permutation compiled for AVX512.
#include "randperm.cpp"
