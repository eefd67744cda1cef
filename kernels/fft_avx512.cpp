// Fourier transforms compiled for AVX-512.
#include "fft.cpp"
