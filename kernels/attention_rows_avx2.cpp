// Attention's row sums compiled for AVX2.
#include "attention_rows.cpp"
