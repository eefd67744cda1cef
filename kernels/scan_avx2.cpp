// Scans compiled for AVX2.
#include "scan.cpp"
