// Channels compiled for AVX2.
#include "channels.cpp"
