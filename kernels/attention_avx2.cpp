// Attention forward compiled for AVX2.
#include "attention.cpp"
