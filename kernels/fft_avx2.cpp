// Fourier transforms compiled for AVX2.
#include "fft.cpp"
