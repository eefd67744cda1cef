// Gradients of embeddings compiled for AVX2.
#include "embedding.cpp"
