// Batch normalisation compiled for AVX512.
#include "batch_norm.cpp"
