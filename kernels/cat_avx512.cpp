// Joined rows compiled for AVX512.
#include "cat.cpp"
