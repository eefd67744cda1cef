// rnn.cpp compiled for AVX512.
#include "rnn.cpp"
