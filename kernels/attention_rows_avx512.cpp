// Attention's row sums compiled for AVX512.
#include "attention_rows.cpp"
