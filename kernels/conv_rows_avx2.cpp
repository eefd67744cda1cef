// Rows of channels compiled for AVX2.
#include "conv_rows.cpp"
