// The element-wise engine compiled for AVX2.
#include "blocks.cpp"
