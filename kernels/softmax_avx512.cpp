// softmax compiled for AVX512.
#include "softmax.cpp"
