// softmax compiled for AVX2.
#include "softmax.cpp"
