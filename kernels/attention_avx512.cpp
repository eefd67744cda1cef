// Attention forward compiled for AVX512.
#include "attention.cpp"
