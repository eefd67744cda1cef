// Scans compiled for AVX512.
#include "scan.cpp"
