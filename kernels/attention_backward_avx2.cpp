// Attention backward compiled for AVX2.
#include "attention_backward.cpp"
