// Attention backward compiled for AVX512.
#include "attention_backward.cpp"
