// Rows of channels compiled for AVX512.
#include "conv_rows.cpp"
