// Channels compiled for AVX512.
#include "channels.cpp"
