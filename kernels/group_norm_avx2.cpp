// Group normalisation compiled for AVX2.
#include "group_norm.cpp"
