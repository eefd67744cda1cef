// Gradients of embeddings compiled for AVX512.
#include "embedding.cpp"
