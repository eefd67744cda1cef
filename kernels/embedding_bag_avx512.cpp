// Bags of embeddings compiled for AVX-512.
#include "embedding_bag.cpp"
