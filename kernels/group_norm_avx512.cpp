// Group normalisation compiled for AVX512.
#include "group_norm.cpp"
