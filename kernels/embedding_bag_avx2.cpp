// Bags of embeddings compiled for AVX2.
#include "embedding_bag.cpp"
