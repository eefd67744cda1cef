// Machine limits compiled for AVX2.
#include "probe.cpp"
