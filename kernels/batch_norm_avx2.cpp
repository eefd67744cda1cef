// Batch normalisation compiled for AVX2.
#include "batch_norm.cpp"
