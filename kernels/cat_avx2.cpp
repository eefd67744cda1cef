// Joined rows compiled for AVX2.
#include "cat.cpp"
