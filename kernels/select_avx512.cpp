// Selection from lines compiled for AVX512.
#include "select.cpp"
