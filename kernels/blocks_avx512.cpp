// The element-wise engine compiled for AVX512.
#include "blocks.cpp"
