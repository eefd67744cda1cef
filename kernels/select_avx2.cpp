// Selection from lines compiled for AVX2.
#include "select.cpp"
