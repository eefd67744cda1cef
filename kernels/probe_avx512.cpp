// Machine limits compiled for AVX512.
#include "probe.cpp"
